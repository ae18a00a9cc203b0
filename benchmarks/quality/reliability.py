r"""How well estimates of reliability know which labels are right, all on the same predictions.

    python -m benchmarks.quality.reliability --scenes night --also fog sensor --split test \\
        --bundle MODEL

Fits rectifiers on labelled images of the source that the model was not trained on, re-estimates the
model's normalisation on the target, predicts it, and compares the field with simpler estimates. The
truth of the target is opened last. One row an estimate: AUROC and average precision for wrong
pixels, calibration errors, area under the risk-coverage curve, over the image and within 5 px of
true edges; rank correlation and error of the mean over an image against its accuracy; mIoU of the
surest 50, 70 and 90 % of the pixels, and of what `rectify` makes of the labels: by the field with
its edges guided by colours and without, and by the grid.

    python -m benchmarks.quality.reliability --ablation ...   # one row a variant of the field
    ... --size 256 512 --stride 16                            # larger scenes, coarser features
    ... --scales 1 0.75 1.25                                  # labels made of three looks
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import commit
from benchmarks.quality.ablation import VARIANTS
from benchmarks.quality.command_line import (
    DataSet,
    add_data_options,
    open_data,
    source_bundle,
    source_facts,
)
from benchmarks.quality.folders import read_image
from benchmarks.quality.pooled_model import STRIDE_PX, PooledSegmenter
from benchmarks.quality.reliability_scores import (
    Estimate,
    Quality,
    Scores,
    changes,
    relabelled,
)
from benchmarks.quality.with_classifier import labelled_source
from models.bundle import read_bundle
from models.config import PredictConfig
from models.normalisation import reestimate_batch_statistics
from models.prediction import Prediction, Predictor
from models.rectification import rivals, stage
from models.rectification.calibration import PlattScaling, fit_platt, log_odds
from models.rectification.config import RectifyConfig
from models.rectification.rectifier import Rectifier, field_input
from models.rectification.source_fit import SourceFitSettings, fit_on_views, labelled_views
from models.rectification.stage import rectify, reliability_of
from models.rectification.views import LabelledView

IMAGES: Final = 60
_CONFIG: Final = RectifyConfig()
_BILINEAR: Final = RectifyConfig(edges="bilinear")
_GRID: Final[Mapping[str, Any]] = {"relative": False, "ensemble": False}
_OTHER_SCALES: Final = (0.75, 1.25)
Estimator = Callable[[Prediction, list[Prediction]], Estimate]
Mender = Callable[[Prediction], Prediction]


@dataclass(frozen=True)
class _Contest:
    """What is compared on the same predictions.

    Attributes:
        estimators: each gives the reliability of the predicted classes.
        menders: each gives other classes, and how sure it is of them.
    """

    estimators: Mapping[str, Estimator]
    menders: Mapping[str, Mender]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, predict, compare, print."""
    options = _parser().parse_args(arguments)
    data = open_data(options)
    bundle = read_bundle(source_bundle(options, data))
    model = PooledSegmenter(bundle, torch.device("cpu"), options.stride)
    config = PredictConfig(scales=tuple(options.scales), flip=options.flip)
    settings = SourceFitSettings()
    training = replace(settings.training, seed=options.seed)
    if options.steps is not None:
        training = replace(training, steps=options.steps)
    settings = replace(settings, training=training)
    labelled = track(list(labelled_source(data, options)), description="look at the source")
    views, images = labelled_views(model, labelled, config, options.seed, settings)
    fit = _ablation if options.ablation else _main_table
    contest, figures = fit(model, views, images, settings)
    console = Console()
    targets, pooled = {}, {name: Quality() for name in contest.estimators}
    for style in (options.scenes, *options.also):
        options.scenes = style
        found = open_data(options)
        targets[found.name] = _judge(found, model, config, contest, pooled)
        _print(found.name, targets[found.name], console)
    result = {
        "seed": options.seed,
        **source_facts(options),
        "targets": targets,
        "quality_of_all": {name: quality.figures() for name, quality in pooled.items()},
        "fit": figures,
        "settings": {
            "size_hw": None if options.scenes is None else options.size,
            "stride_px": options.stride,
            "predict": config.to_dict(),
            "steps": settings.training.steps,
            "labelled_images": options.images,
        },
        "run": {"commit": commit(), "limit": options.limit},
    }
    console.print(result["quality_of_all"])
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument(
        "--stride", type=int, default=STRIDE_PX, metavar="PX", help="of the features (4)"
    )
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[1.0], help="of the looks at an image (1)"
    )
    parser.add_argument("--flip", action="store_true", help="look at the mirrored image too")
    parser.add_argument("--steps", type=int, help="optimizer steps of each fit")
    parser.add_argument(
        "--ablation", action="store_true", help="compare variants of the field with each other"
    )
    return parser


def _main_table(
    model: PooledSegmenter,
    views: Sequence[LabelledView],
    images: int,
    settings: SourceFitSettings,
) -> tuple[_Contest, dict[str, Any]]:
    """The field against simpler estimates."""
    rectifier, figures = fit_on_views(model, views, images, settings)
    grid, _ = fit_on_views(model, views, images, replace(settings, shape=_GRID))
    menders: dict[str, Mender] = {
        "rectified": lambda p: rectify(p, rectifier, _CONFIG),
        "rectified_bilinear": lambda p: rectify(p, rectifier, _BILINEAR),
        "rectified_by_grid": lambda p: _rectified_by(p, rivals.grid_field(p, grid), grid),
    }
    return _Contest(_estimators(rectifier, grid, _scaling(views)), menders), figures


def _ablation(
    model: PooledSegmenter,
    views: Sequence[LabelledView],
    images: int,
    settings: SourceFitSettings,
) -> tuple[_Contest, dict[str, Any]]:
    """Variants of the field against each other."""
    estimators: dict[str, Estimator] = {"max_softmax": lambda p, _: rivals.max_softmax(p)}
    menders: dict[str, Mender] = {}
    figures: dict[str, Any] = {}
    fitted: dict[str, Rectifier] = {}
    for name, variant in track(VARIANTS.items(), description="fit the variants"):
        if name != "coarse":
            own = variant.settings(settings)
            fitted[name], figures[name] = fit_on_views(model, views, images, own)
        _add(name, fitted.get(name, fitted["default"]), variant.mode, estimators, menders)
    return _Contest(estimators, menders), figures


def _add(
    name: str,
    rectifier: Rectifier,
    mode: str,
    estimators: dict[str, Estimator],
    menders: dict[str, Mender],
) -> None:
    config = RectifyConfig(mode=mode)
    estimators[name] = lambda p, _: reliability_of(p, _input(p), rectifier, config)
    if rectifier.auxiliary is not None:
        menders[f"rectified_{name}"] = lambda p: rectify(p, rectifier, config)


def _judge(
    data: DataSet,
    model: PooledSegmenter,
    config: PredictConfig,
    contest: _Contest,
    pooled: Mapping[str, Quality],
) -> dict[str, Any]:
    """Figures of every estimate on one target; its truth is opened after its last prediction."""
    target = [read_image(path) for path in data.target]
    adapted = reestimate_batch_statistics(model, iter(target)).model
    predictors = [Predictor(adapted, config, with_detail=True)]
    if config.looks == 1:
        # What else agreement may look at; of several looks it knows by itself.
        predictors += [Predictor(adapted, PredictConfig(scales=(s,))) for s in _OTHER_SCALES]
    judged = []
    for image in track(target, description=f"judge {data.name}"):
        prediction, *others = (found for p in predictors for _, found in p.predict([image]))
        estimates = {name: of(prediction, others) for name, of in contest.estimators.items()}
        mended = {name: _bare(of(prediction)) for name, of in contest.menders.items()}
        judged.append((prediction.label, estimates, mended))
    names = (*contest.estimators, *contest.menders)
    scores = {name: Scores(model.ontology.num_classes) for name in names}
    changed = {name: np.zeros(4, np.int64) for name in contest.menders}
    truth = data.target_truth()
    for index, (label, estimates, mended) in enumerate(judged):
        _, true = truth[index]
        for name, estimate in estimates.items():
            scores[name].add(label, estimate, true)
            pooled[name].images.append(scores[name].quality.images[-1])
        for name, (after, sure) in mended.items():
            scores[name].add(after, sure, true)
            changed[name] += changes(label, after, true)
    return {
        "images": len(target),
        "estimators": {name: found.figures() for name, found in scores.items()},
        "relabelled": {name: relabelled(counts) for name, counts in changed.items()},
    }


def _bare(prediction: Prediction) -> tuple[npt.NDArray[np.uint8], Estimate]:
    return prediction.label, prediction.p_max


def _rectified_by(
    prediction: Prediction, reliability: Estimate, rectifier: Rectifier
) -> Prediction:
    """What the stage would write if r were this."""
    given = _input(prediction)
    assert rectifier.auxiliary is not None
    with torch.inference_mode():
        opinion = rectifier.auxiliary(given.features)
        label, sure = stage.relabelled(prediction, given, opinion, reliability)
    return replace(prediction, label=label, p_max=sure)


def _estimators(
    rectifier: Rectifier, grid: Rectifier, scaling: PlattScaling
) -> dict[str, Estimator]:
    return {
        "max_softmax": lambda p, _: rivals.max_softmax(p),
        "calibrated": lambda p, _: rivals.calibrated(p, scaling),
        "negentropy": lambda p, _: rivals.negentropy(p),
        "agreement": _agreement,
        "divergence": lambda p, _: rivals.discrete_divergence(p, rectifier),
        "grid": lambda p, _: rivals.grid_field(p, grid),
        "field": lambda p, _: reliability_of(p, _input(p), rectifier, _CONFIG),
    }


def _agreement(prediction: Prediction, others: list[Prediction]) -> Estimate:
    if prediction.agreement is not None:
        return prediction.agreement
    return rivals.agreement(prediction, others)


def _input(prediction: Prediction) -> Any:
    assert prediction.detail is not None
    return field_input(prediction.detail)


def _scaling(views: Sequence[LabelledView]) -> PlattScaling:
    """Scale and shift of max-softmax, fitted on every third image, as many as calibrate a field."""
    chosen = [view for view in views if view.image % 3 == 0]
    logits = np.concatenate([log_odds(view.p_max[view.uniform]) for view in chosen])
    return fit_platt(logits, np.concatenate([view.right[view.uniform] for view in chosen]))


def _print(name: str, result: Mapping[str, Any], console: Console) -> None:
    rows = result["estimators"]
    shown = ("auroc", "auroc_band", "ece", "aurc", "miou", "miou_band", "miou_at_70")
    table = Table("estimate, percent", *shown, title=name)
    for estimate, figures in rows.items():
        cells = (f"{100 * figures[figure]:.1f}" for figure in shown)
        table.add_row(estimate.replace("_", " "), *cells)
    console.print(table)
    console.print(result["relabelled"])


if __name__ == "__main__":
    main()
