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
        at_once = max(1, _SQUARES_BYTES // (4 * self.frame.square_px**2))
        for start in range(0, len(low), at_once):
            yield from self.frame.in_square(low[start : start + at_once])

    def add(
        self,
        square: Tensor,
        iou: float,
        stability: float = 1.0,
        point_xy: Sequence[float] = (np.nan, np.nan),
    ) -> None:
        """Take a mask, be it empty, by its logits in the square."""
        columns = Columns.of_mask(square, self.frame, MASK_THRESHOLD)
        self._append(columns.rle(MASK_THRESHOLD), iou, stability, point_xy)

    def add_columns(
        self, columns: Columns, iou: float, stability: float, point_xy: Sequence[float]
    ) -> int | None:
        """Take a mask whose columns are known already, unless it has no pixel.

        Returns:
            Its place in the list; None if it is empty.
        """
        rle = columns.rle(MASK_THRESHOLD)
        if rle.area_px == 0:
            return None
        self._append(rle, iou, stability, point_xy)
        return len(self._rles) - 1

    def rle(self, place: int) -> Rle:
        """The mask at a place."""
        return self._rles[place]

    def _append(self, rle: Rle, iou: float, stability: float, point_xy: Sequence[float]) -> None:
        self._rles.append(rle)
        self._iou.append(iou)
        self._stability.append(stability)
        self._points_xy.append(point_xy)

    def masks(self) -> Masks:
        """All masks, in the order in which they came."""
        return Masks(
            rles=list(self._rles),
            iou=np.array(self._iou, np.float32),
            stability=np.array(self._stability, np.float32),
            boxes_xyxy=np.array([r.box_xyxy() for r in self._rles], np.int32).reshape(-1, 4),
            areas_px=np.array([r.area_px for r in self._rles], np.int64),
            points_xy=np.array(self._points_xy, np.float32).reshape(-1, 2),
        )


def masks_at(masks: Masks, places: npt.NDArray[np.integer]) -> Masks:
    """Some of the masks, in the order of `places`, int (M,)."""
    arrays = {f.name: getattr(masks, f.name)[places] for f in fields(masks) if f.name != "rles"}
    return Masks(rles=[masks.rles[place] for place in places], **arrays)
