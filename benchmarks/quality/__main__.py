"""Label quality on a new domain, through the running service.

    python -m benchmarks.quality --data DIR --budget medium --json FILE

trains a source model on DIR/source (once; then it is found again), registers it, labels
DIR/target over HTTP and scores the labels. `benchmarks.quality.folders` says how DIR is laid out.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.machine import commit
from benchmarks.quality.folders import TARGET_LABELS, ClassList, LabelledFolder, list_images
from benchmarks.quality.labelling import Labeller, label_everything
from benchmarks.quality.report import print_result, score_runs
from benchmarks.quality.scenes_data import SPLITS, write_scenes
from benchmarks.quality.source_model import BUDGETS, source_model_bundle
from benchmarks.scenes import STYLES

CACHE = Path(".cache/quality")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    options = _parser().parse_args(arguments)
    console = Console()
    data, name = _data(options)
    classes = ClassList.read(data / "classes.json")
    source = LabelledFolder(
        tuple(list_images(data / "source" / "images", options.limit)),
        data / "source" / "labels",
        classes,
    )
    bundle = source_model_bundle(
        source, BUDGETS[options.budget], seed=options.seed, cache=options.cache / "models"
    )
    target = list_images(data / "target" / "images", options.limit)
    others = {
        other: LabelledFolder(
            tuple(list_images(images, options.limit)), labels, _beside(labels, classes)
        )
        for other, images, labels in _other_folders(data, options.evaluate)
    }
    out = options.cache / "labels" / f"{name}-{options.budget}-{options.seed}"
    with _labeller(options) as labeller:
        runs = list(
            label_everything(
                labeller, bundle, target, {n: f.images for n, f in others.items()}, out
            )
        )
    # Every label is written by now: only from here on may the target's truth be opened.
    truth = LabelledFolder(tuple(target), data / "target" / TARGET_LABELS, classes)
    result = {
        "data": name,
        "seed": options.seed,
        "budget": options.budget,
        **score_runs(runs, {"target": truth, **others}, options.seed),
        "run": {"commit": commit(), "images": len(target), "limit": options.limit},
    }
    print_result(result, console)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="folder of a data set")
    where.add_argument(
        "--scenes", metavar="STYLE", choices=sorted(STYLES), help="generated scenes as target"
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="choose", help="scenes to choose by, or to report"
    )
    parser.add_argument("--budget", choices=BUDGETS, default="small", help="training time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument(
        "--evaluate",
        action="append",
        default=[],
        type=_named_folders,
        metavar="NAME=IMAGES_DIR:LABELS_DIR",
        help="score the models on a further folder; may be repeated",
    )
    parser.add_argument("--limit", type=int, help="use at most so many images of each folder")
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument(
        "--in-process", action="store_true", help="label without the service, for development"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="trained models and labels")
    return parser


def _named_folders(text: str) -> tuple[str, Path, Path]:
    name, _, folders = text.partition("=")
    images, _, labels = folders.partition(":")
    if not (name and images and labels):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=IMAGES_DIR:LABELS_DIR")
    return name, Path(images), Path(labels)


def _other_folders(
    data: Path, asked_for: Sequence[tuple[str, Path, Path]]
) -> Iterator[tuple[str, Path, Path]]:
    validation = data / "source_val"
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


def _data(options: argparse.Namespace) -> tuple[Path, str]:
    """Folder of the data set and its name in the result."""
    if options.scenes is None:
        return options.data, options.data.resolve().name
    folder = write_scenes(options.cache, options.scenes, options.split)
    return folder, folder.parent.name


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
