"""The result of a run as one JSON object and as tables."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.quality.folders import LabelledFolder
from benchmarks.quality.labelling import LabelRun
from benchmarks.quality.scoring import model_row, reliability_row, stage_row
from models.metrics.quality import FIGURES


def score_runs(
    runs: Iterable[LabelRun], truths: dict[str, LabelledFolder], seed: int
) -> dict[str, Any]:
    """The keys `labels`, `reliability` and `models` of the result.

    Rows of the model `source` bear the plain names of stage and estimator; rows of `source_bn`
    have its name in front.

    Args:
        runs: finished label runs; `predict` of a model and folder is among them.
        truths: labels of each folder by name; `target` has the evaluation labels.
        seed: seed of bootstrap and ties.
    """
    labels: dict[str, Any] = {}
    reliability: dict[str, Any] = {}
    models: dict[str, Any] = {}
    found = {(run.model, run.images_name, run.stage): run.labels for run in runs}
    for (model, folder, stage), run in track(found.items(), description="score"):
        prefix = "" if model == "source" else f"{model}_"
        predicted = found[model, folder, "predict"]
        if folder == "target":
            labels[prefix + stage] = stage_row(truths[folder], run, predicted, seed)
        if stage == "predict":
            models.setdefault(model, {})[folder] = model_row(truths[folder], run, seed)
            if folder == "target":
                reliability[f"{prefix}max_softmax"] = reliability_row(truths[folder], run, seed)
    return {"labels": labels, "reliability": reliability, "models": models}


def print_result(result: dict[str, Any], console: Console) -> None:
    """Three tables with figures as rows: label quality, reliability, models; in percent."""
    labels = result["labels"]
    stages = (stage.replace("source_bn_", "source_bn ") for stage in labels)
    table = Table("figure (rival)", *stages, title=f"{result['data']}: labels, percent")
    for name in FIGURES:
        rows = labels.values()
        table.add_row(name, *(f"{_cell(r[name])} ({_cell(r['rival'][name])})" for r in rows))
    intervals = (_interval(row["intervals"]["miou_full"]) for row in labels.values())
    table.add_row("95 % of miou_full", *intervals)
    console.print(table)
    estimators = result["reliability"]
    table = Table("confidence, percent", *estimators)
    for name in next(iter(estimators.values())):
        if name != "intervals":
            table.add_row(name, *(_cell(row[name]) for row in estimators.values()))
    console.print(table)
    models = result["models"]
    table = Table("mIoU, percent", *models)
    for folder in next(iter(models.values())):
        cells = (folders[folder] for folders in models.values())
        table.add_row(
            folder, *(f"{_cell(c['miou'])} {_interval(c['intervals']['miou'])}" for c in cells)
        )
    console.print(table)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(edges: list[float | None]) -> str:
    low, high = edges
    return f"[{_cell(low)}, {_cell(high)}]"
