"""Counts of right and wrong pixels per confidence level: all that reliability figures need.

An array of shape (K, 2, 256) and dtype int64: labelled class, then 0 = wrong and 1 = right, then
the confidence byte round(255·c). Arrays of images and chunks add up in any order, and every figure
of `calibration`, `ranking` and `risk_coverage` is a function of the sum.
"""

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import IGNORE, Counts, LabelMap

LEVELS = 256
LEVEL_VALUES: npt.NDArray[np.float64] = np.arange(LEVELS) / (LEVELS - 1)


def reliability_counts(
    label: LabelMap, confidence: npt.NDArray[np.uint8], truth: LabelMap, num_classes: int
) -> Counts:
    """Right and wrong pixels of one image by labelled class and confidence level.

    Counted are pixels that are kept (label not 255) and annotated (truth not 255).

    Args:
        label: labelled classes, shape (H, W); 255 means dropped.
        confidence: round(255·c), shape (H, W).
        truth: true classes, shape (H, W); 255 means not annotated.
        num_classes: K.

    Returns:
        Counts of shape (K, 2, 256).

    Raises:
        ValueError: the shapes differ, or confidence is not uint8.
    """
    if confidence.dtype != np.uint8:
        raise ValueError(f"confidence must be uint8, not {confidence.dtype}")
    if not label.shape == confidence.shape == truth.shape:
        raise ValueError(
            f"label {label.shape}, confidence {confidence.shape} and truth {truth.shape} differ"
        )
    counted = (label != IGNORE) & (truth != IGNORE)
    kept = label[counted].astype(np.int64)
    right = (label[counted] == truth[counted]).astype(np.int64)
    cell = (kept * 2 + right) * LEVELS + confidence[counted]
    counts = np.bincount(cell, minlength=num_classes * 2 * LEVELS)
    return counts.reshape(num_classes, 2, LEVELS).astype(np.int64)


def over_classes(counts: Counts) -> Counts:
    """The (2, 256) counts of all classes together."""
    return np.asarray(counts.sum(axis=0))
