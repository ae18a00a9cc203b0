"""Percentile bootstrap over images.

Images, not pixels, are resampled: pixels of one image are far from independent, and so are frames
of one sequence, which makes even these intervals too narrow for video.
"""

from collections.abc import Callable

import numpy as np

from models.metrics.confusion import Counts


def bootstrap_interval(
    per_image: Counts,
    figure: Callable[[Counts], float],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a figure that is computed from counts summed over images.

    Args:
        per_image: counts of each image, shape (N, …).
        figure: the figure of counts of shape (…); may return NaN.
        resamples: draws of N images with replacement.
        level: share of the draws inside the interval.
        seed: the same seed gives the same draws for the same N, so figures of different stages
            are resampled alike.

    Returns:
        (low, high); both NaN without images or where no draw defines the figure.
    """
    n = len(per_image)
    if n == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    # Floats are exact up to 2**53 pixels, and their products are quicker than those of integers.
    flat = per_image.reshape(n, -1).astype(np.float64)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    shape = per_image.shape[1:]
    values = np.array([figure((t @ flat).astype(np.int64).reshape(shape)) for t in draws])
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
