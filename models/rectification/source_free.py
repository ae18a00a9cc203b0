"""Fits a rectifier on unlabelled images of the target: what stays under changes is trusted.

IR2F-style reconstruction without any labels. An image is looked at as it is, mirrored, at other
scales, in other light and sensors, and with the low frequencies of another image of the set; the
majority of each region is one look more. The anchor of r is the share of the other looks that say
what a look says, and the class that most of them say takes the place of the true one in the
mixture. Neither is the truth: errors that every look makes stay unseen, so r is no probability.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models.config import PredictConfig
from models.connectivity.aggregation import aggregate
from models.connectivity.config import AggregateConfig
from models.connectivity.features import FeatureMap
from models.connectivity.style import restyled
from models.prediction import Prediction, Predictor, RgbImage
from models.prediction_detail import CELL_PX
from models.promptable.base import RegionModel
from models.rectification.fourier import with_low_amplitudes_of
from models.rectification.rectifier import Rectifier
from models.rectification.source_fit import Reservoir, SourceFitSettings, fit_on_views
from models.rectification.views import LabelledView, labelled_view
from models.segmentation.base import SegmentationModel

Label = npt.NDArray[np.uint8]

_FOURIER_SHARES: Final = (0.01, 0.1)
_AGGREGATE: Final = AggregateConfig()


@dataclass(frozen=True)
class SourceFreeSettings:
    """How images are changed; see `SourceFitSettings` for what is made of them.

    Attributes:
        scales: of the looks at other sizes.
        styles: looks in other light, each drawn anew.
        fourier: looks with the low frequencies of the image before.
        fit: its styles are not used.
    """

    scales: tuple[float, ...] = (0.75, 1.25)
    styles: int = 3
    fourier: int = 2
    fit: SourceFitSettings = field(default_factory=SourceFitSettings)


def fit_source_free(
    model: SegmentationModel,
    images: Iterable[RgbImage],
    config: PredictConfig,
    seed: int = 0,
    region_model: RegionModel | None = None,
    settings: SourceFreeSettings | None = None,
) -> tuple[Rectifier, dict[str, Any]]:
    """Fit a rectifier; images are read one at a time, the order given matters.

    Args:
        model: the segmenter, its normalisation re-estimated on the target where it has any.
        images: uint8 (H, W, 3) RGB, of the target.
        config: how the model is run.
        seed: of changes, points and weights.
        region_model: whose regions have a majority; None leaves that look out.
        settings: how images are changed.

    Returns:
        The rectifier, not calibrated, and figures as those of `source_fit.fit_rectifier`, in which
        what most looks say stands for the truth.

    Raises:
        TooFewImages: fewer than eight.
        NoErrors: hardly a pixel on which looks disagree.
    """
    settings = settings or SourceFreeSettings()
    views, count = agreeing_views(model, images, config, seed, region_model, settings)
    return fit_on_views(model, views, count, settings.fit, calibrated=False)


def agreeing_views(
    model: SegmentationModel,
    images: Iterable[RgbImage],
    config: PredictConfig,
    seed: int,
    region_model: RegionModel | None,
    settings: SourceFreeSettings,
) -> tuple[list[LabelledView], int]:
    """Views of all images, thinned out to the memory allowed; how many images.

    A look that leaves the pixels in their places is a view; the others only have a say in what is
    right. r is learnt on the unchanged images alone: how far a label is to be trusted that was made
    in another light says little of it (measured). b is learnt on all. Arguments as of
    `fit_source_free`.
    """
    looking = _Looking(model, config, region_model, settings)
    generator = torch.Generator().manual_seed(seed)
    kept = Reservoir(settings.fit.most_bytes, np.random.default_rng([seed, 1]))
    count = 0
    for count, (before, image) in enumerate(pairwise(_first_twice(images)), start=1):
        rng = np.random.default_rng([seed, 3, count])
        in_place, labels = looking.at(image, before, rng)
        said = np.stack([*(look.label for look in in_place), *labels])
        consensus = most_said(said, model.ontology.num_classes)
        for number, look in enumerate(in_place):
            trust = share_of_others(said, number)
            points = settings.fit.points
            view = labelled_view(look, consensus, count - 1, points, generator, trust=trust)
            kept.offer(replace(view, anchors=number == 0))
    return kept.views, count


def _first_twice(images: Iterable[RgbImage]) -> Iterator[RgbImage]:
    """The images, the first one twice: it has none before it, and lends itself its amplitudes."""
    for number, image in enumerate(images):
        if number == 0:
            yield image
        yield image


class _Looking:
    """Looks at images, changed and unchanged."""

    def __init__(
        self,
        model: SegmentationModel,
        config: PredictConfig,
        region_model: RegionModel | None,
        settings: SourceFreeSettings,
    ) -> None:
        self._settings, self._region_model = settings, region_model
        self._kinds = [c.kind for c in model.ontology.classes]
        once = replace(config, flip=False, scales=(1.0,))
        self._own = Predictor(model, config, with_detail=True)
        self._scaled = [Predictor(model, replace(once, scales=(s,))) for s in settings.scales]
        self._once = Predictor(model, once)

    def at(
        self, image: RgbImage, other: RgbImage, rng: np.random.Generator
    ) -> tuple[list[Prediction], list[Label]]:
        """Looks that leave pixels in place, the unchanged one first, and labels of the others.

        Args:
            image: uint8 (H, W, 3).
            other: of any size, whose amplitudes it is given.
            rng: draws the changes.
        """
        changed = [restyled(image, rng) for _ in range(self._settings.styles)]
        for _ in range(self._settings.fourier):
            share = float(rng.uniform(*_FOURIER_SHARES))
            changed.append(with_low_amplitudes_of(image, other, share))
        in_place = [_predicted(self._own, each) for each in (image, *changed)]
        mirrored = np.ascontiguousarray(image[:, ::-1])
        labels = [_predicted(self._once, mirrored).label[:, ::-1]]
        labels += [_predicted(predictor, image).label for predictor in self._scaled]
        if self._region_model is not None:
            labels.append(self._of_regions(image, in_place[0], self._region_model))
        return in_place, labels

    def _of_regions(self, image: RgbImage, look: Prediction, region_model: RegionModel) -> Label:
        """What the majority of each region says."""
        assert look.detail is not None
        probabilities = torch.from_numpy(look.detail.probabilities)
        covers_hw_px = (probabilities.shape[1] * CELL_PX, probabilities.shape[2] * CELL_PX)
        with torch.inference_mode():
            grown = aggregate(
                look.label,
                look.p_max,
                region_model.encode(image),
                region_model,
                self._kinds,
                _AGGREGATE,
                FeatureMap(probabilities, covers_hw_px),
            )
        return grown.label


def _predicted(predictor: Predictor, image: RgbImage) -> Prediction:
    ((_, prediction),) = predictor.predict([image])
    return prediction


def most_said(labels: Label, num_classes: int) -> Label:
    """The class that most looks say, of equal ones that of the first look, uint8 (H, W).

    Args:
        labels: of V looks, uint8 (V, H, W), each below `num_classes`.
        num_classes: K.
    """
    votes = np.stack([(labels == k).sum(0, dtype=np.float32) for k in range(num_classes)])
    np.put_along_axis(votes, labels[:1].astype(np.int64), _first_counts_more(votes, labels), 0)
    return np.asarray(votes.argmax(0), np.uint8)


def _first_counts_more(votes: npt.NDArray[np.float32], labels: Label) -> npt.NDArray[np.float32]:
    taken = np.take_along_axis(votes, labels[:1].astype(np.int64), 0)
    return np.asarray(taken + np.float32(0.5))


def share_of_others(labels: Label, number: int) -> npt.NDArray[np.float32]:
    """Share of the other looks that say what one says, float32 (H, W).

    Args:
        labels: of V looks, uint8 (V, H, W), V >= 2.
        number: of the one.
    """
    same = (labels == labels[number]).sum(0, dtype=np.float32) - 1
    return np.asarray(same / np.float32(len(labels) - 1))
