"""From masks with classes to one label: which mask a pixel belongs to where they overlap.

Two orders paint masks one over another, and the last wins:

* "quality": proposals from the worst estimated IoU to the best, then answers to prompts likewise.
* "generator": the public code's: proposals from the best estimated IoU to the worst, as the
  generator gives them, then answers to prompts by rising class.

Where the label is there already, by the votes of the masks, each pixel belongs to the largest mask
that agrees with it.

Ties are settled by what the masks look like, never by where they stood in a list: the label does
not depend on the order of proposals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.connectivity.runs import runs_of
from models.rle import Rle

PROPOSAL = -1


@dataclass(frozen=True, eq=False)
class ClassedMask:
    """A mask that was accepted for a class.

    Attributes:
        rle: the mask, not empty.
        area_px: its pixels.
        class_id: its class.
        iou: the region model's estimate of its IoU.
        prompt: number of the prompt that it answers, -1 for a proposal.
    """

    rle: Rle
    area_px: int
    class_id: int
    iou: float
    prompt: int

    @property
    def content(self) -> tuple[Any, ...]:
        """Equal only for equal masks of one class, and of one order whatever the masks' list."""
        return self.area_px, int(self.rle.counts[0]), self.rle.counts.tobytes(), self.class_id


def in_order(masks: Sequence[ClassedMask], painting: str) -> list[ClassedMask]:
    """The masks as they are painted: "quality" or "generator"."""
    keys = {"quality": _by_quality, "generator": _by_generator}
    return sorted(masks, key=keys[painting])


def paint(masks: Sequence[ClassedMask], size_hw: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Number of the last of the masks that covers each pixel, from 1; 0 for none; int32 (H, W)."""
    flat = np.zeros(size_hw[0] * size_hw[1], dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        starts, ends = runs_of(mask.rle)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            flat[start:end] = number
    return np.ascontiguousarray(flat.reshape(size_hw, order="F"))


def by_rising_area(masks: Sequence[ClassedMask]) -> list[ClassedMask]:
    """The masks from the smallest to the largest, of equally large ones the better last."""
    return sorted(masks, key=lambda m: (m.area_px, m.iou, m.content))


def paint_where_right(
    masks: Sequence[ClassedMask], label: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int32]:
    """Number of the last of the masks that covers a pixel with its class, from 1; 0 for none.

    Args:
        masks: in the order of painting.
        label: class of each pixel, uint8 (H, W).

    Returns:
        int32 (H, W).
    """
    classes = label.ravel(order="F")
    flat = np.zeros(label.size, dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        places = mask.rle.pixels()
        flat[places[classes[places] == mask.class_id]] = number
    return np.ascontiguousarray(flat.reshape(label.shape, order="F"))


def _by_quality(mask: ClassedMask) -> tuple[Any, ...]:
    return mask.prompt != PROPOSAL, mask.iou, -mask.area_px, mask.content


def _by_generator(mask: ClassedMask) -> tuple[Any, ...]:
    if mask.prompt == PROPOSAL:
        return 0, -mask.iou, mask.content
    return 1, mask.class_id, mask.prompt
