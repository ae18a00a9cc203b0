"""Label quality of an image set, gathered image by image and chunk by chunk.

Every count is an integer and adds up, so chunks may be evaluated anywhere, in any order, and
merged by a process without torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.metrics import boundary, calibration, ranking, selective
from models.metrics.confusion import (
    Counts,
    LabelMap,
    confusion_matrix,
    iou_full,
    iou_kept,
    mean_over_present,
)
from models.metrics.counts_json import counts_from_json, counts_to_json
from models.metrics.reliability import LEVELS, over_classes, reliability_counts

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Figure:
    """One label-quality figure: which counts it reads, and how.

    Attributes:
        part: attribute of `QualityAccumulator` with the counts.
        of: the figure of such counts, a fraction; NaN where undefined.
    """

    part: str
    of: Callable[[Counts], float]


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "miou_kept": Figure("confusion", lambda m: mean_over_present(iou_kept(m), m)),
        "miou_full": Figure("confusion", lambda m: mean_over_present(iou_full(m), m)),
        "coverage": Figure("confusion", selective.coverage),
        "accuracy_kept": Figure("confusion", selective.accuracy_kept),
        "boundary_iou": Figure("boundary", boundary.boundary_iou),
        "auroc": Figure("reliability", lambda c: ranking.auroc(over_classes(c))),
        "ece": Figure(
            "reliability", lambda c: calibration.expected_calibration_error(over_classes(c))
        ),
    }
)


class QualityAccumulator:
    """Counts from which all label-quality figures follow.

    Attributes:
        class_names: names in the order of the class ids.
        images: images counted.
        confusion: shape (K, K + 1), see `confusion`.
        reliability: shape (K, 2, 256), see `reliability`; stays 0 without confidences.
        boundary: shape (K, 3), see `boundary`.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        k = len(self.class_names)
        self.images = 0
        self.confusion: Counts = np.zeros((k, k + 1), dtype=np.int64)
        self.reliability: Counts = np.zeros((k, 2, LEVELS), dtype=np.int64)
        self.boundary: Counts = np.zeros((k, 3), dtype=np.int64)

    def accumulate(
        self, label: LabelMap, confidence: npt.NDArray[np.uint8] | None, truth: LabelMap
    ) -> None:
        """Count one image.

        Args:
            label: labelled classes, shape (H, W); 255 means dropped.
            confidence: round(255·c), shape (H, W); None where labels come without it.
            truth: true classes, shape (H, W); 255 means not annotated.

        Raises:
            ValueError: shapes differ or a value is neither a class nor 255; nothing is counted.
        """
        k = len(self.class_names)
        matrix = confusion_matrix(label, truth, k)
        if confidence is not None:
            self.reliability += reliability_counts(label, confidence, truth, k)
        self.confusion += matrix
        self.boundary += boundary.boundary_counts(label, truth, k)
        self.images += 1

    def merge(self, other: "QualityAccumulator") -> None:
        """Add the counts of another part of the same set.

        Raises:
            ValueError: the classes differ.
        """
        if other.class_names != self.class_names:
            raise ValueError("quality counts of different classes cannot be merged")
        self.images += other.images
        self.confusion += other.confusion
        self.reliability += other.reliability
        self.boundary += other.boundary

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON-able integers and class names."""
        return {
            "format_version": FORMAT_VERSION,
            "classes": list(self.class_names),
            "images": self.images,
            "confusion": counts_to_json(self.confusion),
            "reliability": counts_to_json(self.reliability),
            "boundary": counts_to_json(self.boundary),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "QualityAccumulator":
        """The accumulator that `to_dict` wrote.

        Raises:
            ValueError: another format version, or counts that do not fit the classes.
        """
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"unknown quality format version {document['format_version']}")
        found = cls(document["classes"])
        found.images = int(document["images"])
        found.confusion = counts_from_json(document["confusion"], found.confusion.shape)
        found.reliability = counts_from_json(document["reliability"], found.reliability.shape)
        found.boundary = counts_from_json(document["boundary"], found.boundary.shape)
        return found

    def summary(self) -> dict[str, Any]:
        """The figures of the set, fractions 0-1, None where a figure is undefined.

        Keys: those of `FIGURES`, iou ({class: IoU with dropped pixels as misses}), pixels
        (annotated), images.
        """
        return {
            **{
                name: defined_or_none(figure.of(getattr(self, figure.part)))
                for name, figure in FIGURES.items()
            },
            "iou": {
                name: defined_or_none(float(value))
                for name, value in zip(self.class_names, iou_full(self.confusion), strict=True)
            },
            "pixels": int(self.confusion.sum()),
            "images": self.images,
        }


def defined_or_none(value: float) -> float | None:
    """None for NaN, since JSON has no NaN."""
    return None if np.isnan(value) else value
