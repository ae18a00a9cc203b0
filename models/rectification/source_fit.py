"""Fits a rectifier for an existing model on images whose true classes are known.

Each image is seen as it is and under changed styles, since a model errs little on images like those
that it was made from. A style is the same for all images, and normalisation is re-estimated for it
where the model has any, as it is for a target: what is left are the errors that a label job makes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.config import PredictConfig
from models.connectivity.source_fit import Labelled
from models.metrics.ranking import auroc_of_samples
from models.normalisation import reestimate_batch_statistics
from models.prediction import Predictor, RgbImage
from models.rectification.calibration import PlattScaling, fit_platt
from models.rectification.field import FieldShape
from models.rectification.rectifier import Rectifier, weights_digest
from models.rectification.styles import strongly_restyled
from models.rectification.training import FieldInTraining, TrainingSettings, train_field
from models.rectification.views import LabelledView, labelled_view
from models.segmentation.base import SegmentationModel

_LEAST_IMAGES: Final = 8
_LEAST_WRONG: Final = 50
_EVALUATED_POINTS: Final = 100_000


@dataclass(frozen=True)
class SourceFitSettings:
    """How errors are provoked and what is kept of them.

    Attributes:
        styles: in how many styles images are seen; the first is their own.
        style_images: so many images, the first ones, show what a style does to normalisation.
        points: points of each view whose class is looked at.
        most_bytes: views are thinned out to take no more memory than this.
        calibration_share: the last images by this share calibrate and are not fitted on.
        gap_share: images between the two that are left out; neighbours of a sequence are alike.
        shape: sizes of the field other than its defaults, see `FieldShape`.
        training: of the field.
    """

    styles: int = 10
    style_images: int = 32
    points: int = 1024
    most_bytes: int = 1 << 30
    calibration_share: float = 0.3
    gap_share: float = 0.05
    shape: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)


Floats = npt.NDArray[np.float32]


class TooFewImages(ValueError):
    """There are not enough images to fit on some and calibrate on others."""

    code = "too-few-images"


class NoErrors(ValueError):
    """The model errs nowhere, or in no way that could be learnt."""

    code = "no-errors-to-learn-from"


def fit_rectifier(
    model: SegmentationModel,
    labelled: Iterable[Labelled],
    config: PredictConfig,
    seed: int = 0,
    settings: SourceFitSettings | None = None,
) -> tuple[Rectifier, dict[str, Any]]:
    """Fit a rectifier; images are read one at a time, the order given matters.

    Args:
        model: the segmenter.
        labelled: name, image uint8 (H, W, 3) and true classes uint8 (H, W), 255 where not known;
            images that the model was not trained on.
        config: how the model is run.
        seed: of styles, points and weights.
        settings: how errors are provoked.

    Returns:
        The rectifier, and figures as JSON: images, views, the share of wrong pixels and their
        number in each class, and on the images that calibrate the AUROC of r and of max-softmax
        for right pixels.

    Raises:
        TooFewImages: fewer than eight.
        NoErrors: hardly a wrong pixel, or errors of which nothing could be learnt.
    """
    settings = settings or SourceFitSettings()
    views, images = labelled_views(model, labelled, config, seed, settings)
    return fit_on_views(model, views, images, settings)


def fit_on_views(
    model: SegmentationModel,
    views: Sequence[LabelledView],
    images: int,
    settings: SourceFitSettings,
    calibrated: bool = True,
) -> tuple[Rectifier, dict[str, Any]]:
    """The second half of `fit_rectifier`: the same answer and errors.

    Args:
        model: the segmenter.
        views: of `labelled_views`.
        images: how many images they are of.
        settings: how the field is fitted.
        calibrated: whether the classes of the views are the true ones.
    """
    if images < _LEAST_IMAGES:
        raise TooFewImages(
            f"{images} images are too few, give {_LEAST_IMAGES} or more: a part of them "
            "calibrates and is not fitted on"
        )
    wrong = _wrong_of_class(views, model.ontology.num_classes)
    if wrong.sum() < _LEAST_WRONG:
        raise NoErrors(
            f"the model is wrong at {wrong.sum()} of the points looked at, in all styles; give "
            "images that it was not trained on"
            if calibrated
            else f"changes of the images change the label at {wrong.sum()} of the points looked at"
        )
    fitted, held_out = _split(views, images, settings)
    held_out = [view for view in held_out if view.anchors]
    first = views[0].given
    shape = FieldShape(first.features.shape[1], model.ontology.num_classes, **settings.shape)
    trained = train_field(fitted, shape, settings.training)
    logits, p_max, right, expected = _answers(trained, held_out)
    rectifier = Rectifier(
        trained.field.requires_grad_(False),
        None if trained.auxiliary is None else trained.auxiliary.requires_grad_(False),
        float(trained.confidence_gain.detach()),
        _calibration(logits, expected),
        tuple(c.name for c in model.ontology.classes),
        weights_digest(model),
        calibrated=calibrated,
        agreement_gain=_number(trained.agreement_gain),
    )
    figures = {
        "images": images,
        "views": len(views),
        "wrong_fraction": float(np.mean(np.concatenate([~v.right[v.uniform] for v in views]))),
        "wrong_of_class": {str(k): int(n) for k, n in enumerate(wrong)},
        "held_out": {
            "images": len({view.image for view in held_out}),
            "auroc": auroc_of_samples(-logits, ~right),
            "auroc_of_max_softmax": auroc_of_samples(-p_max, ~right),
        },
        "calibration": asdict(rectifier.calibration),
        "settings": {**asdict(settings), "shape": dict(settings.shape)},
    }
    return rectifier, figures


def labelled_views(
    model: SegmentationModel,
    labelled: Iterable[Labelled],
    config: PredictConfig,
    seed: int,
    settings: SourceFitSettings,
) -> tuple[list[LabelledView], int]:
    """Views of all images in all styles, thinned out to the memory allowed; how many images.

    Arguments as of `fit_rectifier`.
    """
    stream = iter(labelled)
    shown = list(islice(stream, settings.style_images))
    predictors = [
        Predictor(_adapted(model, [x for _, x, _ in shown], seed, style), config, with_detail=True)
        for style in range(settings.styles)
    ]
    generator = torch.Generator().manual_seed(seed)
    kept = Reservoir(settings.most_bytes, np.random.default_rng([seed, 1]))
    images = 0
    for image, (_, pixels, truth) in enumerate(chain(shown, stream)):
        images += 1
        for style, predictor in enumerate(predictors):
            view = _view(predictor, _styled(pixels, seed, style), truth, image, settings, generator)
            kept.offer(view)
    return kept.views, images


class Reservoir:
    """Views that take no more memory than allowed; each of all is kept with the same chance.

    Args:
        most_bytes: of their maps and points; the first view is kept whatever it takes.
        rng: draws which of them gives way.
    """

    def __init__(self, most_bytes: int, rng: np.random.Generator) -> None:
        self._most_bytes, self._rng = most_bytes, rng
        self._kept: list[LabelledView] = []
        self._seen = self._taken = 0

    @property
    def views(self) -> list[LabelledView]:
        """What was kept, in the order of the images."""
        return sorted(self._kept, key=lambda view: view.image)

    def offer(self, view: LabelledView) -> None:
        """Keep it, put it in the place of another, or drop it, as one without points."""
        if not len(view.true):
            return
        self._seen += 1
        if self._taken + view.nbytes <= self._most_bytes or not self._kept:
            self._kept.append(view)
            self._taken += view.nbytes
        elif (place := int(self._rng.integers(self._seen))) < len(self._kept):
            self._taken += view.nbytes - self._kept[place].nbytes
            self._kept[place] = view


def _view(
    predictor: Predictor,
    image: RgbImage,
    truth: npt.NDArray[np.uint8],
    number: int,
    settings: SourceFitSettings,
    generator: torch.Generator,
) -> LabelledView:
    ((_, prediction),) = predictor.predict([image])
    return labelled_view(prediction, truth, number, settings.points, generator)


def _styled(image: RgbImage, seed: int, style: int) -> RgbImage:
    """The image in a style; the same changes for every image, style 0 is its own."""
    return (
        image if style == 0 else strongly_restyled(image, np.random.default_rng([seed, 2, style]))
    )


def _adapted(
    model: SegmentationModel, images: Sequence[RgbImage], seed: int, style: int
) -> SegmentationModel:
    if style == 0 or not model.has_batch_statistics or not hasattr(model, "module"):
        return model
    shown: Iterator[RgbImage] = (_styled(image, seed, style) for image in images)
    return reestimate_batch_statistics(model, shown).model


def _number(parameter: Tensor | None) -> float:
    return 0.0 if parameter is None else float(parameter.detach())


def _split(
    views: Sequence[LabelledView], images: int, settings: SourceFitSettings
) -> tuple[list[LabelledView], list[LabelledView]]:
    """Views to fit on, and later ones to calibrate on."""
    first = images - max(2, round(settings.calibration_share * images))
    last = first - round(settings.gap_share * images)
    return [v for v in views if v.image < last], [v for v in views if v.image >= first]


def _answers(
    trained: FieldInTraining, views: Sequence[LabelledView]
) -> tuple[Floats, Floats, npt.NDArray[np.bool_], Floats]:
    """Logits, max-softmax, whether right and what r should be, at points of whole images."""
    logits, p_max, right, expected = [], [], [], []
    points = max(1, _EVALUATED_POINTS // max(1, len(views)))
    with torch.inference_mode():
        for view in views:
            part = view.take(np.flatnonzero(view.uniform)[:points])
            logits.append(trained.logits(part).numpy())
            p_max.append(part.p_max)
            right.append(part.right)
            expected.append(part.expected)
    return (
        np.concatenate(logits),
        np.concatenate(p_max),
        np.concatenate(right),
        np.concatenate(expected),
    )


def _calibration(logits: Floats, expected: Floats) -> PlattScaling:
    if expected.min() >= 1 or expected.max() <= 0:
        raise NoErrors("the images that calibrate hold no wrong pixel, or no right one")
    found = fit_platt(logits, expected)
    if found.scale <= 0:
        raise NoErrors(
            "what was learnt does not hold on the images that calibrate: r is no better "
            "than chance there; give more images, or images that are more alike"
        )
    return found


def _wrong_of_class(views: Sequence[LabelledView], num_classes: int) -> npt.NDArray[np.int64]:
    """Wrong points by their true class, int64 (K,)."""
    total = np.zeros(num_classes, np.int64)
    for view in views:
        total += np.bincount(view.true[~view.right], minlength=num_classes)[:num_classes]
    return total
