"""The label path, from an image to its pseudo-label, in the order of its stages.

    predict    image -> most probable class of each pixel, and its probability p_max
    rectify    (not yet) p_max -> r, the probability that the class at this place is right
    select     keep the pixels whose p_max reaches the threshold of their class; 255 elsewhere
    aggregate  (not yet) kept pixels -> labels of whole regions
    correct    (not yet) each region kept, relabelled or rejected

Selection with quantiles of a set takes two passes: `pilot` over a sample of the set gives
histograms that add up in any order, `fit_thresholds` turns their sum into a `PilotFit`, and a
pipeline that is given the fit labels the set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.config import PipelineConfig
from models.errors import PilotMissing
from models.ontology import IGNORE_LABEL
from models.prediction import Prediction, Predictor, RgbImage
from models.segmentation.base import SegmentationModel
from models.selection import (
    ConfidenceHistogram,
    PilotFit,
    fit_thresholds,
    fixed_thresholds,
    select,
)


@dataclass(frozen=True)
class LabelMaps:
    """The pseudo-label of one image of H x W pixels.

    Attributes:
        label: class of each pixel, uint8 (H, W); 255 where none is given.
        confidence: round(255 c), uint8 (H, W), where c is the estimated probability that the class
            written at this pixel is right; 0 where ignored. Halves round to even.
        stages: with `keep_stages`, the class map after each stage that ran, uint8 (H, W).
        summary: `size_hw`; `coverage`, the share of pixels with a label; `expected_accuracy`, the
            mean of c over them, or None without any; `class_pixels`, {class id: pixels} of the
            classes that occur; `window_px`, the longest side of a window that was used.
    """

    label: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    stages: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


class LabelPipeline:
    """Labels images with one model and one configuration.

    On a CPU with the same number of threads the same image gives the same bytes, whatever images
    are labelled with it.

    Args:
        model: the segmenter.
        config: which stages run, and how.
        pilot_fit: thresholds of the set, if `config.select` needs a pilot.

    Raises:
        ValueError: if the number of thresholds is not the model's number of classes.
    """

    def __init__(
        self,
        model: SegmentationModel,
        config: PipelineConfig,
        pilot_fit: PilotFit | None = None,
    ) -> None:
        self._num_classes = model.ontology.num_classes
        self._config = config
        self._predictor = Predictor(model, config.predict)
        self._thresholds = _thresholds_of_set(config, pilot_fit, self._num_classes)

    @property
    def precision(self) -> str:
        """The numeric precision that is really used, "float32" or "bfloat16"."""
        return self._predictor.precision

    def label(self, images: Sequence[RgbImage]) -> list[LabelMaps]:
        """Pseudo-labels of images, uint8 (H, W, 3) RGB upright, in the order given.

        Raises:
            PilotMissing: if selection needs a pilot fit and the pipeline was given none.
            ValueError, OutOfMemory, ModelOutputInvalid: see `Predictor.predict`.
        """
        if self._needs_pilot():
            raise PilotMissing
        return [self.finish(prediction) for prediction in self.predict(images)]

    def pilot(self, images: Iterable[RgbImage]) -> ConfidenceHistogram:
        """Counts of p_max per predicted class over images, which may be read one at a time."""
        total = ConfidenceHistogram.empty(self._num_classes)
        for image in images:
            for prediction in self.predict([image]):
                total = total.merge(self.histogram(prediction))
        return total

    # The parts of the two, for a caller that keeps the predictions of a pilot for pass 1.

    def predict(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """The stage `predict` alone, in the order given; errors as in `label`."""
        found = dict(self._predictor.predict(images))
        return [found[position] for position in range(len(images))]

    def histogram(self, prediction: Prediction) -> ConfidenceHistogram:
        """What one prediction adds to the pilot."""
        return ConfidenceHistogram.of(prediction.label, prediction.p_max, self._num_classes)

    def finish(self, prediction: Prediction) -> LabelMaps:
        """The stages after `predict`.

        Raises:
            PilotMissing: if selection needs a pilot fit and the pipeline was given none.
        """
        if self._needs_pilot():
            raise PilotMissing
        return self._maps(prediction, self._select(prediction))

    def _needs_pilot(self) -> bool:
        select_config = self._config.select
        return select_config is not None and select_config.needs_pilot and self._thresholds is None

    def _select(self, prediction: Prediction) -> npt.NDArray[np.uint8]:
        if self._config.select is None:
            return prediction.label
        thresholds = self._thresholds
        if thresholds is None:
            fit = fit_thresholds(self.histogram(prediction), self._config.select)
            thresholds = fit.thresholds
        return select(prediction.label, prediction.p_max, thresholds)

    def _maps(self, prediction: Prediction, kept: npt.NDArray[np.uint8]) -> LabelMaps:
        has_label = kept != IGNORE_LABEL
        confidence = np.rint(prediction.p_max * np.float32(255)).astype(np.uint8)
        confidence[~has_label] = 0
        stages: dict[str, npt.NDArray[np.uint8]] = {}
        if self._config.keep_stages:
            stages = {"predict": prediction.label, "select": kept}
            stages = {name: stages[name] for name in self._config.stages}
        return LabelMaps(kept, confidence, stages, _summary(prediction, kept, has_label))


def _thresholds_of_set(
    config: PipelineConfig, pilot_fit: PilotFit | None, num_classes: int
) -> tuple[float, ...] | None:
    if config.select is None:
        return None
    fixed = fixed_thresholds(config.select, num_classes)
    if fixed is not None or not config.select.needs_pilot or pilot_fit is None:
        return fixed
    if len(pilot_fit.thresholds) != num_classes:
        raise ValueError(
            f"the pilot fit has {len(pilot_fit.thresholds)} thresholds, the model has "
            f"{num_classes} classes"
        )
    return pilot_fit.thresholds


def _summary(
    prediction: Prediction, kept: npt.NDArray[np.uint8], has_label: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    kept_p_max = prediction.p_max[has_label]
    counts = np.bincount(kept.ravel(), minlength=IGNORE_LABEL + 1)[:IGNORE_LABEL]
    return {
        "size_hw": (int(kept.shape[0]), int(kept.shape[1])),
        "coverage": kept_p_max.size / kept.size,
        "expected_accuracy": (
            float(kept_p_max.mean(dtype=np.float64)) if kept_p_max.size else None
        ),
        "class_pixels": {int(i): int(counts[i]) for i in np.flatnonzero(counts)},
        "window_px": prediction.window_px,
    }
