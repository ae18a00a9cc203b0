"""How well confidence separates right from wrong pixels, whatever its scale.

`counts` is (2, 256): wrong and right pixels per confidence byte (see `reliability`). Pixels of one
level are ties. `auroc_of_samples` ranks values of any kind.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import Counts


def auroc(counts: Counts) -> float:
    """Chance that a right pixel has a higher confidence than a wrong one; ties count one half.

    NaN unless there are both right and wrong pixels.
    """
    wrong, right = counts.astype(np.float64)
    pairs = wrong.sum() * right.sum()
    if pairs == 0:
        return float("nan")
    wrong_below = np.cumsum(wrong) - wrong
    return float((right * (wrong_below + wrong / 2)).sum() / pairs)


def aupr_error(counts: Counts) -> float:
    """Average precision of finding the wrong pixels by low confidence.

    The step-wise sum of precision times gain in recall, from the lowest level up, with the pixels
    of a level taken together (as scikit-learn's `average_precision_score`). NaN without wrong
    pixels.
    """
    wrong, right = counts.astype(np.float64)
    if wrong.sum() == 0:
        return float("nan")
    found = np.cumsum(wrong)
    flagged = found + np.cumsum(right)
    reached = flagged > 0
    precision = found[reached] / flagged[reached]
    return float((precision * wrong[reached]).sum() / wrong.sum())


def classwise_auroc(class_counts: Counts) -> float:
    """Unweighted mean of the AUROC over the labelled classes where it is defined.

    Args:
        class_counts: shape (K, 2, 256).
    """
    values = np.array([auroc(counts) for counts in class_counts])
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def auroc_of_samples(
    doubt: npt.NDArray[np.floating[Any]], wrong: npt.NDArray[np.bool_]
) -> float | None:
    """Chance that a wrong one is doubted more than a right one; None without both; ties half."""
    if not wrong.any() or wrong.all():
        return None
    _, places, counts = np.unique(doubt, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = int(wrong.sum())
    above = ranks[wrong].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(wrong) - positives)))
