"""The result of a run as one JSON object and as tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.quality.folders import LabelledFolder
from benchmarks.quality.labelling import LabelRun
from benchmarks.quality.region_scoring import judged_regions, region_row
from benchmarks.quality.scoring import (
    GAIN_FIGURES,
    filled_row,
    model_row,
    reliability_row,
    stage_row,
)
from models.metrics.quality import FIGURES

_COLUMNS: Final = 4

REGION_FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "AUROC of posterior": ("auroc", "posterior", "value"),
    "AUROC of 1 - confidence": ("auroc", "confidence", "value"),
    "wrong regions": ("wrong",),
    "wrong, low posterior": ("low_posterior", "wrong"),
    "wrong, high posterior": ("high_posterior", "wrong"),
    "kept": ("kept", "share"),
    "kept, right": ("kept", "accuracy_after"),
    "kept, right pixels": ("kept", "accuracy_after_px"),
    "relabelled": ("relabelled", "share"),
    "relabelled, right before": ("relabelled", "accuracy_before"),
    "relabelled, right after": ("relabelled", "accuracy_after"),
    "rejected": ("rejected", "share"),
    "rejected, right before": ("rejected", "accuracy_before"),
    "pixels written": ("equal_area", "share"),
    "written, right": ("equal_area", "corrected"),
    "as many, most confident": ("equal_area", "most_confident"),
    "as many, any": ("equal_area", "any"),
}


def score_runs(
    runs: Iterable[LabelRun], truths: dict[str, LabelledFolder], seed: int
) -> dict[str, Any]:
    """The keys `labels`, `reliability` and `models` of the result.

    Rows of the model `source` bear the plain names of stage and estimator; rows of `source_bn`
    have its name in front. A stage that looked at regions has their figures under `regions`, and a
    row STAGE_filled beside it.

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
            if run.has_regions:
                judged = judged_regions(truths[folder], run)
                labels[prefix + stage]["regions"] = region_row(judged, seed)
                filled = filled_row(truths[folder], run, predicted, seed)
                labels[f"{prefix}{stage}_filled"] = filled
        if stage == "predict":
            models.setdefault(model, {})[folder] = model_row(truths[folder], run, seed)
            if folder == "target":
                reliability[f"{prefix}max_softmax"] = reliability_row(truths[folder], run, seed)
    return {"labels": labels, "reliability": reliability, "models": models}


def print_result(result: dict[str, Any], console: Console) -> None:
    """Tables with figures as rows: label quality, regions, reliability, models; in percent."""
    labels = result["labels"]
    for part in _parts(labels):
        title = f"{result['data']}: labels, percent"
        table = Table("figure (rival)", *map(_heading, part), title=title)
        for name in FIGURES:
            table.add_row(name, *(_with_rival(row, name) for row in part.values()))
        for name in GAIN_FIGURES:
            table.add_row(f"gain in {name}", *(_gain(row, name) for row in part.values()))
        intervals = (_interval(row["intervals"]["miou_full"]) for row in part.values())
        table.add_row("95 % of miou_full", *intervals)
        console.print(table)
    regions = {stage: row["regions"] for stage, row in labels.items() if "regions" in row}
    for part in _parts(regions):
        table = Table("regions, percent", *map(_heading, part))
        for name, path in REGION_FIGURES.items():
            table.add_row(name, *(_cell(figure_at(row, path)) for row in part.values()))
        table.add_row("decided by", *(row.get("decided_by") or "–" for row in part.values()))
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


def figure_at(row: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """The figure under nested keys; None where one of them is missing."""
    found: Any = row
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _parts(rows: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(rows)
    for start in range(0, len(names), _COLUMNS):
        yield {name: rows[name] for name in names[start : start + _COLUMNS]}


def _heading(stage: str) -> str:
    """In words, so that it can be broken into lines."""
    start = "source_bn " if stage.startswith("source_bn_") else ""
    return start + stage.removeprefix("source_bn_").replace("_", " ")


def _with_rival(row: Mapping[str, Any], name: str) -> str:
    if "rival" not in row:
        return _cell(row[name])
    return f"{_cell(row[name])} ({_cell(row['rival'][name])})"


def _gain(row: Mapping[str, Any], name: str) -> str:
    found = row.get("gain", {}).get(name)
    return "–" if found is None else _interval(found["interval"])


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(edges: list[float | None]) -> str:
    low, high = edges
    return f"[{_cell(low)}, {_cell(high)}]"
