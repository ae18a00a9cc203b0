"""A few numbers that stand for many."""

import math
import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of some runs, and the runs themselves.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no runs, no spread")
    return {
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
        "runs": list(values),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed.

    Raises:
        ValueError: no values, or a share outside (0, 1].
    """
    if not values or not 0 < share <= 1:
        raise ValueError("a percentile needs values and a share above 0 and at most 1")
    return sorted(values)[math.ceil(share * len(values)) - 1]
