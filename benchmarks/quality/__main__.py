"""Label quality on a new domain, through the running service.

    python -m benchmarks.quality --data DIR --budget medium --json FILE

trains a source model on DIR/source (once; then it is found again), registers it, labels
DIR/target over HTTP and scores the labels. `benchmarks.quality.folders` says how DIR is laid out,
`benchmarks.quality.stages` which pipelines are compared.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.machine import commit
from benchmarks.quality.command_line import (
    DataSet,
    add_data_options,
    open_data,
    region_model_digests,
    region_models,
    source_bundle,
    source_facts,
    source_label,
    stage_names,
)
from benchmarks.quality.folders import ClassList, LabelledFolder, list_images
from benchmarks.quality.labelling import Labeller, label_everything
from benchmarks.quality.report import print_result, score_runs
from benchmarks.quality.stages import SEED_COVERAGE, STAGES, Plan, needs_rectifier
from models.bundle import read_bundle


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    options = _parser().parse_args(arguments)
    console = Console()
    data = open_data(options)
    bundle = source_bundle(options, data)
    stages = options.stages
    if read_bundle(bundle).rectifier is None:
        stages = tuple(stage for stage in stages if not needs_rectifier(stage))
    plan = Plan(stages, region_models(options))
    digests = region_model_digests(plan.region_models) if plan.looks_at_regions else {}
    others = {
        name: LabelledFolder(
            tuple(list_images(images, options.limit)), labels, _beside(labels, data.classes)
        )
        for name, images, labels in _other_folders(data, options.evaluate)
    }
    out = options.cache / "labels" / f"{data.name}-{source_label(options)}-{options.seed}"
    images = {name: folder.images for name, folder in others.items()}
    with _labeller(options) as labeller:
        runs = list(label_everything(labeller, bundle, data.target, images, out, plan))
    # Every label is written by now: only from here on may the target's truth be opened.
    result = {
        "data": data.name,
        "seed": options.seed,
        **source_facts(options),
        "seed_coverage": SEED_COVERAGE,
        "region_models": digests,
        **score_runs(runs, {"target": data.target_truth(), **others}, options.seed),
        "run": {"commit": commit(), "images": len(data.target), "limit": options.limit},
    }
    print_result(result, console)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add_data_options(parser)
    parser.add_argument(
        "--stages",
        type=stage_names,
        default=STAGES,
        metavar="A,B,…",
        help=f"run these beside predict, instead of all: {', '.join(STAGES)}",
    )
    parser.add_argument(
        "--evaluate",
        action="append",
        default=[],
        type=_named_folders,
        metavar="NAME=IMAGES_DIR:LABELS_DIR",
        help="score the models on a further folder; may be repeated",
    )
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument(
        "--in-process", action="store_true", help="label without the service, for development"
    )
    return parser


def _named_folders(text: str) -> tuple[str, Path, Path]:
    name, _, folders = text.partition("=")
    images, _, labels = folders.partition(":")
    if not (name and images and labels):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=IMAGES_DIR:LABELS_DIR")
    return name, Path(images), Path(labels)


def _other_folders(
    data: DataSet, asked_for: Sequence[tuple[str, Path, Path]]
) -> Iterator[tuple[str, Path, Path]]:
    validation = data.folder / "source_val"
    if validation.is_dir():
        yield "source_val", validation / "images", validation / "labels"
    yield from asked_for


def _beside(labels: Path, classes: ClassList) -> ClassList:
    """The stored ignore value of another folder may differ; its class names may not."""
    path = labels.parent / "classes.json"
    if not path.is_file():
        return classes
    found = ClassList.read(path)
    if found.names != classes.names:
        raise ValueError(f"{path} lists other classes than the data set")
    return found


@contextmanager
def _labeller(options: argparse.Namespace) -> Iterator[Labeller]:
    if options.in_process:
        from benchmarks.quality.local_labeller import LocalLabeller

        yield LocalLabeller()
        return
    from benchmarks.quality.service_labeller import service_labeller

    with service_labeller(options.url, options.cache / "service") as labeller:
        yield labeller


if __name__ == "__main__":
    main()
