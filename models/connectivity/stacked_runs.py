"""Sums over many masks at once, and back: by their runs, in a time that no overlap makes longer.

Everything is whole numbers, so that sums are exact and no order of masks or pixels shows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.connectivity.runs import runs_of
from models.rle import Rle


class StackedRuns:
    """The runs of N masks of one image of `pixels` pixels, one after the other.

    Args:
        rles: the masks, none empty.
        pixels: H W of the image.
    """

    def __init__(self, rles: Sequence[Rle], pixels: int) -> None:
        runs = [runs_of(rle) for rle in rles]
        none = np.zeros(0, np.int64)
        self._starts = np.concatenate([none, *(starts for starts, _ in runs)])
        self._ends = np.concatenate([none, *(ends for _, ends in runs)])
        self._lengths = np.array([len(starts) for starts, _ in runs], np.int64)
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._lengths)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Sum of whole numbers (H W,), in column order, over each mask, int64 (N,)."""
        if not len(self._lengths):
            return np.zeros(0, np.int64)
        before = np.zeros(self._pixels + 1, np.int64)
        np.cumsum(values, out=before[1:])
        firsts = np.cumsum(self._lengths) - self._lengths
        return np.add.reduceat(before[self._ends] - before[self._starts], firsts)

    def spread(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum of the whole numbers (N,) of the masks at each pixel, int64 (H W,), column order."""
        of_runs = np.repeat(values, self._lengths)
        # Float64 holds whole numbers up to 2^53 exactly.
        steps = np.bincount(self._starts, of_runs, self._pixels + 1)
        steps -= np.bincount(self._ends, of_runs, self._pixels + 1)
        return np.cumsum(steps[:-1].astype(np.int64))
