"""Masks as runs of pixels of the column-major flattened image."""

import numpy as np
import numpy.typing as npt

from models.rle import Rle


def runs_of(mask: Rle) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Starts and ends of a mask's runs in the column-major flattened image, rising, half open."""
    ends = np.cumsum(mask.counts, dtype=np.int64)[1::2]
    return ends - mask.counts[1::2], ends
