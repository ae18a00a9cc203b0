"""Counts per confidence level from a short list of pixels, for the tests of this folder."""

from collections.abc import Sequence

import numpy as np

from models.metrics.confusion import Counts

Pixels = Sequence[tuple[int, bool]]


def counts_of(pixels: Pixels) -> Counts:
    """The (2, 256) counts of [(confidence byte, right?), …]."""
    counts = np.zeros((2, 256), dtype=np.int64)
    for level, right in pixels:
        counts[int(right), level] += 1
    return counts
