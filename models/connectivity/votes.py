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
        weight: float32 (H, W), what the vote of each kept pixel counts; None: 1.
        num_classes: K.
    """

    def __init__(
        self,
        kept: npt.NDArray[np.uint8],
        weight: npt.NDArray[np.float32] | None,
        num_classes: int,
    ) -> None:
        flat = kept.ravel(order="F")
        voting = flat != IGNORE_LABEL
        self._before = np.zeros(len(flat) + 1, dtype=np.int32)
        np.cumsum(voting, out=self._before[1:])
        self._classes = flat[voting]
        self._weights = None if weight is None else weight.ravel(order="F")[voting]
        self._num_classes = num_classes

    def of(self, mask: Rle) -> tuple[npt.NDArray[np.float64], int]:
        """Votes of the kept pixels in a mask by class, float64 (K,), and how many they are."""
        starts, ends = (self._before[places] for places in runs_of(mask))
        pixels = int((ends - starts).sum(dtype=np.int64))
        if pixels == 0:
            return np.zeros(self._num_classes), 0
        filled = ends > starts
        runs = [slice(*r) for r in zip(starts[filled].tolist(), ends[filled].tolist(), strict=True)]
        classes = np.concatenate([self._classes[run] for run in runs])
        weights = None
        if self._weights is not None:
            weights = np.concatenate([self._weights[run] for run in runs])
        votes = np.bincount(classes, weights, minlength=self._num_classes)
        return votes.astype(np.float64), pixels
