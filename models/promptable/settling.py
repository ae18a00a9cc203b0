"""From a network's logits to run-length codes, a few masks at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.promptable.base import Masks
from models.promptable.frame import Columns, Frame
from models.promptable.sam_architecture import SamArchitecture
from models.rle import Rle

MASK_THRESHOLD = 0.0
_SQUARES_BYTES = 16 * 2**20
# What the decoder holds of a prompt, in copies of the embedding: keys, scores, upscaled channels.
_COPIES_PER_PROMPT = 12
# On a CPU a batch is quickest while it stays in the cache.
_BATCH_BYTES = {"cpu": 48 * 2**20, "cuda": 2 * 2**30}
_FEWEST, _MOST = 4, 256


def prompts_at_once(architecture: SamArchitecture, device: torch.device) -> int:
    """How many prompts go through the decoder in one call."""
    per_prompt = 4 * _COPIES_PER_PROMPT * architecture.prompt_dim * architecture.grid_px**2
    budget = _BATCH_BYTES.get(device.type, _BATCH_BYTES["cuda"])
    return max(_FEWEST, min(_MOST, budget // per_prompt))


def square_batches(frame: Frame, low: Tensor) -> Iterator[Tensor]:
    """Masks float [M, low, low] at the square's resolution, a few at a time, in order."""
    at_once = max(1, _SQUARES_BYTES // (4 * frame.square_px**2))
    for start in range(0, len(low), at_once):
        yield frame.in_square(low[start : start + at_once])


class MaskList:
    """Masks of one image, gathered one by one as run-length codes."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._rles: list[Rle] = []
        self._iou: list[float] = []
        self._stability: list[float] = []
        self._points_xy: list[Sequence[float]] = []

    def squares(self, low: Tensor) -> Iterator[Tensor]:
        """Each mask of float [M, low, low] at the square's resolution, in order."""
        for batch in square_batches(self.frame, low):
            yield from batch

    def add(
        self,
        square: Tensor,
        iou: float,
        stability: float = 1.0,
        point_xy: Sequence[float] = (np.nan, np.nan),
    ) -> None:
        """Take a mask by its logits in the square."""
        columns = Columns.of_mask(square, self.frame, MASK_THRESHOLD)
        self._rles.append(columns.rle(MASK_THRESHOLD))
        self._iou.append(iou)
        self._stability.append(stability)
        self._points_xy.append(point_xy)

    def masks(self) -> Masks:
        """All masks, in the order in which they came."""
        return masks_of(self._rles, self._iou, self._stability, self._points_xy)


def masks_of(
    rles: Sequence[Rle],
    iou: Sequence[float],
    stability: Sequence[float],
    points_xy: Sequence[Sequence[float]],
) -> Masks:
    """Masks with their boxes and areas."""
    return Masks(
        rles=list(rles),
        iou=np.array(iou, np.float32),
        stability=np.array(stability, np.float32),
        boxes_xyxy=np.array([r.box_xyxy() for r in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([r.area_px for r in rles], np.int64),
        points_xy=np.array(points_xy, np.float32).reshape(-1, 2),
    )


def masks_at(masks: Masks, places: npt.NDArray[np.integer]) -> Masks:
    """Some of the masks, in the order of `places`, int (M,)."""
    arrays = {f.name: getattr(masks, f.name)[places] for f in fields(masks) if f.name != "rles"}
    return Masks(rles=[masks.rles[place] for place in places], **arrays)
