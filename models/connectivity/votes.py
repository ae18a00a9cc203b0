"""The kept pixels of an image as voters on the class of a mask."""

import numpy as np
import numpy.typing as npt

from models.connectivity.runs import runs_of
from models.ontology import IGNORE_LABEL
from models.rle import Rle


class KeptVotes:
    """Kept pixels of one image, laid out so that a mask is counted in the time of its kept pixels.

    Args:
        kept: uint8 (H, W), classes below `num_classes`, or 255 for no vote.
        num_classes: K.
    """

    def __init__(self, kept: npt.NDArray[np.uint8], num_classes: int) -> None:
        flat = kept.ravel(order="F")
        voting = flat != IGNORE_LABEL
        self._before = np.zeros(len(flat) + 1, dtype=np.int32)
        np.cumsum(voting, out=self._before[1:])
        self._classes = flat[voting]
        self._num_classes = num_classes

    def of(self, mask: Rle) -> npt.NDArray[np.int64]:
        """Kept pixels in a mask by class, int64 (K,)."""
        starts, ends = (self._before[places] for places in runs_of(mask))
        filled = ends > starts
        runs = [slice(*r) for r in zip(starts[filled].tolist(), ends[filled].tolist(), strict=True)]
        classes = np.concatenate([self._classes[:0], *(self._classes[run] for run in runs)])
        return np.bincount(classes, minlength=self._num_classes).astype(np.int64)
