"""From masks with classes to one label: which masks are dropped, and which wins where they overlap.

Three orders; in each the last to be painted wins:

* "area": from the largest mask to the smallest, of equally large ones the better last. What is
  inside of something else stays in sight; near duplicates, where a few pixels of area say nothing,
  are left to `without_overlaps`.
* "quality": proposals from the worst estimated IoU to the best, then answers to prompts likewise.
* "generator": the public code's: proposals from the best estimated IoU to the worst, as the
  generator gives them, then answers to prompts by rising class.

Ties are settled by what the masks look like, never by where they stood in a list: the label does
not depend on the order of proposals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.connectivity.runs import intersection_px, runs_of
from models.rle import Rle

PROPOSAL = -1


@dataclass(frozen=True, eq=False)
class ClassedMask:
    """A mask that was accepted for a class.

    Attributes:
        rle: the mask, not empty.
        area_px: its pixels.
        box_xyxy: its tight box, half open.
        class_id: its class.
        iou: the region model's estimate of its IoU.
        score: how far its class is to be trusted, from 0 to 1.
        prompt: number of the prompt that it answers, -1 for a proposal.
    """

    rle: Rle
    area_px: int
    box_xyxy: tuple[int, int, int, int]
    class_id: int
    iou: float
    score: float
    prompt: int

    @property
    def content(self) -> tuple[Any, ...]:
        """Equal only for equal masks of one class, and of one order whatever the masks' list."""
        return self.area_px, int(self.rle.counts[0]), self.rle.counts.tobytes(), self.class_id


def in_order(masks: Sequence[ClassedMask], painting: str) -> list[ClassedMask]:
    """The masks as they are painted: "area", "quality" or "generator"."""
    keys = {"area": _by_area, "quality": _by_quality, "generator": _by_generator}
    return sorted(masks, key=keys[painting])


def without_overlaps(masks: Sequence[ClassedMask], most_iou: float) -> list[ClassedMask]:
    """The masks without those whose IoU with a better one of another class is above `most_iou`.

    Better is a higher score, then a smaller mask; one that is dropped drops no others.
    """
    left: list[ClassedMask] = []
    boxes = np.zeros((len(masks), 4), dtype=np.int64)
    areas = np.zeros(len(masks), dtype=np.int64)
    classes = np.zeros(len(masks), dtype=np.int64)
    for mask in sorted(masks, key=lambda m: (-m.score, *m.content)):
        count = len(left)
        bound = _most_shared_px(mask, boxes[:count], areas[:count])
        possible = bound > most_iou * (mask.area_px + areas[:count] - bound)
        rivals = np.flatnonzero(possible & (classes[:count] != mask.class_id))
        if not any(_iou(mask, left[i]) > most_iou for i in rivals):
            boxes[count], areas[count], classes[count] = mask.box_xyxy, mask.area_px, mask.class_id
            left.append(mask)
    return left


def paint(masks: Sequence[ClassedMask], size_hw: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Number of the last of the masks that covers each pixel, from 1; 0 for none; int32 (H, W)."""
    flat = np.zeros(size_hw[0] * size_hw[1], dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        starts, ends = runs_of(mask.rle)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            flat[start:end] = number
    return np.ascontiguousarray(flat.reshape(size_hw, order="F"))


def _by_area(mask: ClassedMask) -> tuple[Any, ...]:
    return -mask.area_px, mask.score, mask.content


def _by_quality(mask: ClassedMask) -> tuple[Any, ...]:
    return mask.prompt != PROPOSAL, mask.iou, -mask.area_px, mask.content


def _by_generator(mask: ClassedMask) -> tuple[Any, ...]:
    if mask.prompt == PROPOSAL:
        return 0, -mask.iou, mask.content
    return 1, mask.class_id, mask.prompt


def _most_shared_px(
    mask: ClassedMask, boxes_xyxy: npt.NDArray[np.int64], areas_px: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The most pixels that a mask can share with others, going by boxes and areas."""
    box = np.array(mask.box_xyxy, dtype=np.int64)
    low, high = np.maximum(box[:2], boxes_xyxy[:, :2]), np.minimum(box[2:], boxes_xyxy[:, 2:])
    width, height = np.maximum(high - low, 0).T
    most: npt.NDArray[np.int64] = np.minimum(width * height, areas_px)
    return most.clip(max=mask.area_px)


def _iou(one: ClassedMask, other: ClassedMask) -> float:
    shared = intersection_px(one.rle, other.rle)
    return shared / (one.area_px + other.area_px - shared)
