"""How well `correct` finds wrong regions: flipped ones, and those that really are wrong.

    python -m benchmarks.quality.corrections --scenes night --bundle FOLDER --json FILE

In process. The regions are those of the target from the adapted source model; the confusion that
flips are drawn from is the source model's on `source_val` (without one, on the source). Flips need
no truth of the target. The trials of features and of the least numbers of regions are compared by
real errors, which do: `--no-truth` leaves them out, and the target's labels closed.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import commit
from benchmarks.quality.command_line import (
    DataSet,
    add_data_options,
    open_data,
    region_model_digests,
    region_models,
    source_bundle,
    source_facts,
)
from benchmarks.quality.correction_trials import all_trials, trial_row
from benchmarks.quality.local_labeller import LocalLabeller
from benchmarks.quality.stages import PLAIN, REGIONS, region_pipeline
from models.config import PipelineConfig
from models.metrics.confusion import confusion_matrix


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trials that the command line asks for."""
    options = _parser().parse_args(arguments)
    data = open_data(options)
    folders = region_models(options)
    digests = region_model_digests(folders)
    labeller = LocalLabeller()
    source = labeller.register_model(source_bundle(options, data), "source")
    confusion = source_confusion(labeller, source, data)
    adapted = labeller.adapt(source, data.target)
    rows: list[dict[str, Any]] = []
    for name, folder in folders.items():
        if folder is not None:
            labeller.register_region_model(folder, name)
        config = PipelineConfig.from_dict(region_pipeline(REGIONS["psa_scc"], name))
        assert config.correct is not None
        found = labeller.evidence(data.target, adapted, config)
        regions = {image: evidence.regions for image, evidence in found.items()}
        trials = all_trials(
            regions, confusion, config.correct, labeller.classifier(adapted), options.seed
        )
        made = list(track(trials, description=f"trials ({name})", total=None))
        # All posteriors are there by now; only from here on may the target's truth be opened.
        truth = data.target_truth() if options.truth else None
        rows += [{"region_model": name, **trial_row(t, truth, options.seed)} for t in made]
    result = {
        "data": data.name,
        "seed": options.seed,
        **source_facts(options),
        "region_models": digests,
        "trials": rows,
        "run": {"commit": commit(), "images": len(data.target), "limit": options.limit},
    }
    print_trials(result, Console())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def source_confusion(labeller: LocalLabeller, model: str, data: DataSet) -> npt.NDArray[np.float64]:
    """Pixels of labelled source images by true class and the class that a model gives, (K, K)."""
    labelled = data.validation or data.source
    k = len(data.classes.names)
    total = np.zeros((k, k))
    labels = labeller.predicted(labelled.images, model, PipelineConfig.from_dict(PLAIN["predict"]))
    for index, label in enumerate(labels):
        total += confusion_matrix(label, labelled.label(index), k)[:, :k]
    return total


def print_trials(result: dict[str, Any], console: Console) -> None:
    """One row a trial; AUROC in percent with its interval."""
    table = Table(
        *("trial", "regions", "decided by", "flips", "real errors", "1 - confidence"),
        title=f"{result['data']}: AUROC of the posterior, percent",
    )
    for row in result["trials"]:
        table.add_row(
            _what(row),
            str(row["regions"]),
            row["decided_by"],
            *(_auroc(row[f"auroc_{name}"]) for name in ("flips", "real", "confidence")),
        )
    console.print(table)


def _what(row: dict[str, Any]) -> str:
    if row["kind"] == "flips":
        return f"{row['region_model']}: {row['share']:.0%} flipped, {row['drawn_from']}"
    if row["kind"] == "features":
        return f"{row['region_model']}: {', '.join(row['features'])}"
    least = f"{row['least_regions']}, {row['least_class_regions']}"
    return f"{row['region_model']}: {row['images']} images, at least {least}"


def _auroc(found: dict[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    low, high = (f"{100 * e:.1f}" if e is not None else "–" for e in found["interval"])
    return f"{100 * found['value']:.1f} [{low}, {high}]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.corrections", description=__doc__
    )
    add_data_options(parser)
    parser.add_argument(
        "--truth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also score by the target's labels",
    )
    return parser


if __name__ == "__main__":
    main()
