"""Masks as run lengths: small in memory, and quick to count and paint where masks are small.

The layout is COCO's: runs along columns, the first one of zeros.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask


@dataclass(frozen=True, eq=False)
class Rle:
    """One mask of H x W pixels.

    Attributes:
        size_hw: height and width of the image.
        counts: lengths of the runs of 0, 1, 0, … along columns, uint32; their sum is H * W. Only
            the first may be 0.
    """

    size_hw: tuple[int, int]
    counts: npt.NDArray[np.uint32]

    @property
    def area_px(self) -> int:
        return int(self.counts[1::2].sum(dtype=np.int64))

    @classmethod
    def encode(cls, mask: npt.NDArray[np.bool_]) -> "Rle":
        """The runs of a mask, bool (H, W)."""
        flat = np.asarray(mask, dtype=bool).ravel(order="F")
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        start = [0, 0] if flat.size and flat[0] else [0]
        ends = np.concatenate([start, changes, [flat.size]])
        return cls((mask.shape[0], mask.shape[1]), np.diff(ends).astype(np.uint32))

    def decode(self) -> npt.NDArray[np.bool_]:
        """The mask, bool (H, W) in column-major order."""
        flat = np.zeros(self.size_hw[0] * self.size_hw[1], dtype=bool)
        flat[self.pixels()] = True
        return flat.reshape(self.size_hw, order="F")

    def pixels(self) -> npt.NDArray[np.int64]:
        """Places of the mask's pixels in the column-major flattened image, rising."""
        lengths = self.counts[1::2].astype(np.int64)
        starts = np.cumsum(self.counts, dtype=np.int64)[0::2][: len(lengths)]
        before = np.cumsum(lengths) - lengths
        return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))

    def box_xyxy(self) -> tuple[int, int, int, int]:
        """The tight box x0, y0, x1, y1, half open; all 0 for an empty mask."""
        height = self.size_hw[0]
        lengths = self.counts[1::2].astype(np.int64)
        if not lengths.any():
            return 0, 0, 0, 0
        starts = np.cumsum(self.counts, dtype=np.int64)[0::2][: len(lengths)]
        ends = starts + lengths - 1
        x0, x1 = int(starts[0] // height), int(ends[-1] // height) + 1
        if (starts // height != ends // height).any():  # a run that goes on in the next column
            return x0, 0, x1, height
        return x0, int((starts % height).min()), x1, int((ends % height).max()) + 1

    def to_coco(self) -> dict[str, Any]:
        """As COCO's JSON: `size` [H, W] and `counts` as its compressed string."""
        raw = {"size": list(self.size_hw), "counts": self.counts.tolist()}
        packed = coco_mask.frPyObjects(raw, *self.size_hw)
        return {"size": list(self.size_hw), "counts": packed["counts"].decode("ascii")}
