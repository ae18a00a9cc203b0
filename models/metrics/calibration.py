"""Expected calibration error from counts per confidence level; all errors are fractions 0-1.

Sources: Guo et al., "On Calibration of Modern Neural Networks" (2017) for ECE; Nixon et al.,
"Measuring Calibration in Deep Learning" (2019) for equal-mass bins and the class-wise mean.
Here `counts` is (2, 256): wrong and right pixels per confidence byte (see `reliability`).
"""

import numpy as np

from models.metrics.confusion import Counts
from models.metrics.reliability import LEVEL_VALUES, LEVELS

BINS = 15


def expected_calibration_error(counts: Counts, bins: int = BINS) -> float:
    """Mean of |accuracy - mean confidence| over equal-width bins, weighted by pixels.

    Bin i holds the confidences in [i/bins, (i+1)/bins), the last one 1.0 as well. The mean
    confidence of a bin is that of its pixels, not its centre. NaN without pixels.
    """
    total = counts.sum()
    if total == 0:
        return float("nan")
    bin_of_level = np.minimum(np.arange(LEVELS) * bins // (LEVELS - 1), bins - 1)
    right = np.bincount(bin_of_level, weights=counts[1], minlength=bins)
    confidence = np.bincount(
        bin_of_level, weights=counts.sum(axis=0) * LEVEL_VALUES, minlength=bins
    )
    return float(np.abs(right - confidence).sum() / total)


def adaptive_calibration_error(counts: Counts, bins: int = BINS) -> float:
    """As `expected_calibration_error`, over bins that hold equally many pixels each.

    A level that straddles a bin edge is split in proportion, since its pixels are exchangeable.
    NaN without pixels.
    """
    per_level = counts.sum(axis=0)
    total = per_level.sum()
    if total == 0:
        return float("nan")
    filled = per_level > 0
    pixels_below = np.concatenate([[0], np.cumsum(per_level[filled])])
    right_below = np.concatenate([[0], np.cumsum(counts[1][filled])])
    confidence_below = np.concatenate([[0], np.cumsum((per_level * LEVEL_VALUES)[filled])])
    edges = np.linspace(0, total, bins + 1)
    right = np.diff(np.interp(edges, pixels_below, right_below))
    confidence = np.diff(np.interp(edges, pixels_below, confidence_below))
    return float(np.abs(right - confidence).sum() / total)


def classwise_calibration_error(class_counts: Counts, bins: int = BINS) -> float:
    """Unweighted mean of the ECE over labelled classes with pixels.

    Args:
        class_counts: shape (K, 2, 256).
        bins: equal-width bins.
    """
    errors = [expected_calibration_error(c, bins) for c in class_counts if c.sum() > 0]
    return float(np.mean(errors)) if errors else float("nan")
