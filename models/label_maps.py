"""The pseudo-label of one image, as the label path gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ontology import IGNORE_LABEL


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
            classes that occur; `window_px`, the longest side of a window that was used;
            `rectified`, where that stage ran: `changed_fraction`, the share of pixels whose class
            it changed, and whether its r is `calibrated`; `notes`, sentences on stages that could
            not do their work, where there are any.
        regions_json: the regions of the label as a JSON document, see
            `models.connectivity.region_table`; None where no stage looked at regions.
    """

    label: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    stages: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    regions_json: dict[str, Any] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether `expected_accuracy` is meant as an accuracy; else it ranks images, no more.

        Only r of a rectifier that was fitted on labels is. What regions add to it is combined by a
        formula with two fixed parameters, which nobody has fitted for this model.
        """
        rectified = self.summary.get("rectified", {})
        return self.regions_json is None and bool(rectified.get("calibrated"))


def label_maps(
    label: npt.NDArray[np.uint8],
    certainty: npt.NDArray[np.float32],
    stages: Mapping[str, npt.NDArray[np.uint8]],
    facts: Mapping[str, Any],
    regions_json: dict[str, Any] | None = None,
) -> LabelMaps:
    """A finished label with its confidence and summary.

    Args:
        label: uint8 (H, W), 255 where no class is given.
        certainty: c of each pixel, float32 (H, W) in [0, 1]; not looked at where ignored.
        stages: the class maps to keep.
        facts: what else the summary says, such as `window_px` and `notes`.
        regions_json: the regions, if there are any.
    """
    has_label = label != IGNORE_LABEL
    confidence = np.rint(certainty * np.float32(255)).astype(np.uint8)
    confidence[~has_label] = 0
    kept = certainty[has_label]
    counts = np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)[:IGNORE_LABEL]
    summary = {
        "size_hw": (int(label.shape[0]), int(label.shape[1])),
        "coverage": kept.size / label.size,
        "expected_accuracy": float(kept.mean(dtype=np.float64)) if kept.size else None,
        "class_pixels": {int(i): int(counts[i]) for i in np.flatnonzero(counts)},
        **facts,
    }
    return LabelMaps(label, confidence, dict(stages), summary, regions_json)
