r"""How well estimates of reliability know which labels are right, all on the same predictions.

    python -m benchmarks.quality.reliability --scenes night --also fog sensor --split test \\
        --bundle MODEL

Fits rectifiers on labelled images of the source that the model was not trained on, re-estimates the
model's normalisation on the target, predicts it, and compares the field with simpler estimates. The
truth of the target is opened last. One row an estimate: AUROC and average precision for wrong
pixels, calibration errors, area under the risk-coverage curve, over the image and within 5 px of
true edges; rank correlation and error of the mean over an image against its accuracy.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import commit
from benchmarks.quality.command_line import (
    DataSet,
    add_data_options,
    open_data,
    source_bundle,
    source_facts,
)
from benchmarks.quality.folders import read_image
from benchmarks.quality.with_classifier import labelled_source
from models.bundle import read_bundle
from models.config import PredictConfig
from models.metrics import calibration, ranking, risk_coverage
from models.metrics.confusion import confusion_matrix, iou_full, mean_over_present
from models.metrics.reliability import over_classes, reliability_counts
from models.normalisation import reestimate_batch_statistics
from models.ontology import IGNORE_LABEL
from models.prediction import Prediction, Predictor
from models.rectification import rivals
from models.rectification.calibration import PlattScaling, fit_platt, log_odds
from models.rectification.config import RectifyConfig
from models.rectification.rectifier import Rectifier, field_input
from models.rectification.sampling import near_edges
from models.rectification.source_fit import SourceFitSettings, fit_on_views, labelled_views
from models.rectification.stage import rectify, reliability_of
from models.rectification.views import LabelledView
from models.segmentation.bundled import BundledSegmenter

IMAGES: Final = 60
BAND_PX: Final = 5
_CONFIG: Final = RectifyConfig()
_GRID: Final[Mapping[str, Any]] = {"relative": False, "ensemble": False}
Estimate = npt.NDArray[np.float32]
Estimator = Callable[[Prediction, list[Prediction]], Estimate]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, predict, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_options(parser)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"labelled images ({IMAGES})")
    parser.add_argument(
        "--also", nargs="*", default=[], metavar="STYLE", help="further styles of scenes as targets"
    )
    options = parser.parse_args(arguments)
    data = open_data(options)
    model = BundledSegmenter(read_bundle(source_bundle(options, data)), torch.device("cpu"))
    settings = SourceFitSettings()
    settings = replace(settings, training=replace(settings.training, seed=options.seed))
    labelled = track(list(labelled_source(data, options)), description="look at the source")
    views, images = labelled_views(model, labelled, PredictConfig(), options.seed, settings)
    rectifier, figures = fit_on_views(model, views, images, settings)
    grid, _ = fit_on_views(model, views, images, replace(settings, shape=_GRID))
    estimators = _estimators(rectifier, grid, _scaling(views))
    console = Console()
    targets, pooled = {}, {name: _Quality() for name in estimators}
    for style in (options.scenes, *options.also):
        options.scenes = style
        found = open_data(options)
        targets[found.name] = _judge(found, model, rectifier, estimators, pooled)
        _print(found.name, targets[found.name], console)
    result = {
        "seed": options.seed,
        **source_facts(options),
        "targets": targets,
        "quality_of_all": {name: quality.figures() for name, quality in pooled.items()},
        "fit": figures,
        "run": {"commit": commit(), "limit": options.limit},
    }
    console.print(result["quality_of_all"])
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


class _Quality:
    """Expected and true accuracy of images."""

    def __init__(self) -> None:
        self.images: list[tuple[float, float]] = []

    def figures(self) -> dict[str, float]:
        expected, true = np.array(self.images).T
        return {
            "images": len(true),
            "spearman": _rank_correlation(expected, true),
            "error": float(np.abs(expected - true).mean()),
        }


def _judge(
    data: DataSet,
    model: BundledSegmenter,
    rectifier: Rectifier,
    estimators: Mapping[str, Estimator],
    pooled: Mapping[str, _Quality],
) -> dict[str, Any]:
    """Figures of every estimate on one target; its truth is opened after its last prediction."""
    target = [read_image(path) for path in data.target]
    adapted = reestimate_batch_statistics(model, iter(target)).model
    scales = (1.0,), (0.75,), (1.25,)
    predictors = [
        Predictor(adapted, PredictConfig(scales=s), with_detail=s == (1.0,)) for s in scales
    ]
    judged = []
    for image in track(target, description=f"judge {data.name}"):
        prediction, *others = (found for p in predictors for _, found in p.predict([image]))
        estimates = {name: of(prediction, others) for name, of in estimators.items()}
        judged.append((prediction.label, estimates, rectify(prediction, rectifier, _CONFIG)))
    scores = {name: _Scores(model.ontology.num_classes) for name in (*estimators, "rectified")}
    changes = np.zeros(4, np.int64)
    truth = data.target_truth()
    for index, (label, estimates, mended) in enumerate(judged):
        _, true = truth[index]
        for name, estimate in estimates.items():
            scores[name].add(label, estimate, true)
            pooled[name].images.append(scores[name].quality.images[-1])
        scores["rectified"].add(mended.label, mended.p_max, true)
        changes += _changes(label, mended.label, true)
    return {
        "images": len(target),
        "estimators": {name: found.figures() for name, found in scores.items()},
        "relabelled": _relabelled(changes),
    }


class _Scores:
    """Counts of one estimate over the images of a set."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.whole = np.zeros((num_classes, 2, 256), np.int64)
        self.band = self.whole.copy()
        self.confusion = np.zeros((num_classes, num_classes + 1), np.int64)
        self.quality = _Quality()

    def add(
        self, label: npt.NDArray[np.uint8], estimate: Estimate, truth: npt.NDArray[np.uint8]
    ) -> None:
        level = np.rint(estimate * 255).astype(np.uint8)
        self.whole += reliability_counts(label, level, truth, self.num_classes)
        near = near_edges(torch.from_numpy(truth)[None], BAND_PX)[0].numpy()
        banded = np.where(near, truth, np.uint8(IGNORE_LABEL))
        self.band += reliability_counts(label, level, banded, self.num_classes)
        self.confusion += confusion_matrix(label, truth, self.num_classes)
        known = truth != IGNORE_LABEL
        right = (label == truth)[known]
        self.quality.images.append((float(estimate[known].mean()), float(right.mean())))

    def figures(self) -> dict[str, float]:
        whole, band = over_classes(self.whole), over_classes(self.band)
        quality = self.quality.figures()
        return {
            "auroc": ranking.auroc(whole),
            "auroc_band": ranking.auroc(band),
            "aupr_error": ranking.aupr_error(whole),
            "ece": calibration.expected_calibration_error(whole),
            "ece_equal_mass": calibration.adaptive_calibration_error(whole),
            "ece_band": calibration.expected_calibration_error(band),
            "aurc": risk_coverage.area_under_risk_coverage(whole),
            "spearman": quality["spearman"],
            "quality_error": quality["error"],
            "miou": mean_over_present(iou_full(self.confusion), self.confusion),
        }


def _rank_correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Spearman's, of values that hardly ever tie."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _estimators(
    rectifier: Rectifier, grid: Rectifier, scaling: PlattScaling
) -> dict[str, Estimator]:
    return {
        "max_softmax": lambda p, _: rivals.max_softmax(p),
        "calibrated": lambda p, _: rivals.calibrated(p, scaling),
        "negentropy": lambda p, _: rivals.negentropy(p),
        "agreement": rivals.agreement,
        "divergence": lambda p, _: rivals.discrete_divergence(p, rectifier),
        "grid": lambda p, _: rivals.grid_field(p, grid),
        "field": lambda p, _: reliability_of(p, _input(p), rectifier, _CONFIG),
    }


def _input(prediction: Prediction) -> Any:
    assert prediction.detail is not None
    return field_input(prediction.detail)


def _scaling(views: Sequence[LabelledView]) -> PlattScaling:
    """Scale and shift of max-softmax, fitted on every third image, as many as calibrate a field."""
    chosen = [view for view in views if view.image % 3 == 0]
    logits = np.concatenate([log_odds(view.p_max[view.uniform]) for view in chosen])
    return fit_platt(logits, np.concatenate([view.right[view.uniform] for view in chosen]))


def _changes(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """Pixels, those changed, and of these right before and right after; int64 (4,)."""
    known = truth != IGNORE_LABEL
    changed = known & (before != after)
    right = [(changed & (label == truth)).sum() for label in (before, after)]
    return np.array([known.sum(), changed.sum(), *right])


def _relabelled(changes: npt.NDArray[np.int64]) -> dict[str, float | None]:
    pixels, changed, before, after = (int(n) for n in changes)
    return {
        "changed": changed / pixels,
        "right_before": before / changed if changed else None,
        "right_after": after / changed if changed else None,
    }


def _print(name: str, result: Mapping[str, Any], console: Console) -> None:
    rows = result["estimators"]
    table = Table("figure", title=f"{name}, percent")
    for estimate in rows:
        table.add_column(estimate.replace("_", " "), justify="right")
    for figure in rows["field"]:
        table.add_row(figure, *(f"{100 * figures[figure]:.1f}" for figures in rows.values()))
    console.print(table)
    console.print(result["relabelled"])


if __name__ == "__main__":
    main()
