"""Masks of which some will be kept, at low resolution until it is known which."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.promptable.base import Masks, ProposalConfig
from models.promptable.frame import Columns, Frame
from models.promptable.lazy_suppression import Boxes, suppress_lazily
from models.promptable.settling import MASK_THRESHOLD, masks_of, square_batches
from models.rle import Rle

# Beyond this, masks become run-length codes at once.
_HELD_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Answered:
    """Masks of some points that are worth a look.

    Attributes:
        low: logits float [M, low, low].
        iou: estimated IoU, float [M].
        stability: at low resolution, float [M]; NaN of a mask that is empty at the lower threshold.
        points_xy: float64 (M, 2), in the image.
    """

    low: Tensor
    iou: Tensor
    stability: Tensor
    points_xy: npt.NDArray[np.float64]


class Candidates:
    """Candidates of the exact mode.

    One is laid out at full size if it is kept, or if what is known of its box leaves open whether
    another suppresses it. Its stability there is asked for only if nothing suppresses it.
    """

    def __init__(self, frame: Frame, config: ProposalConfig) -> None:
        self._frame, self._config = frame, config
        # The last pixels of the image may lean on one row or column beyond it; padding is not held.
        self._low_hw = [min(side + 1, frame.low_px) for side in frame.low_hw]
        self._low: list[Tensor | None] = []
        self._rles: dict[int, Rle] = {}
        self._stability: dict[int, float] = {}
        self._iou: list[float] = []
        self._points_xy: list[list[float]] = []
        self._inner: list[Boxes] = []
        self._outer: list[Boxes] = []
        self._held_from = 0

    def take(self, batch: Answered) -> None:
        """Add the masks of a batch, but for those that are empty."""
        iou, points_xy = batch.iou.tolist(), batch.points_xy.tolist()
        height, width = self._low_hw
        place = 0
        for squares in square_batches(self._frame, batch.low):
            seen = squares > MASK_THRESHOLD
            inner, outer = self._bounds(seen)
            for index, occupied in enumerate(seen.any(2).any(1).tolist(), start=place):
                if occupied:
                    # A copy: a view would hold the whole batch.
                    self._low.append(batch.low[index, :height, :width].clone())
                    self._iou.append(iou[index])
                    self._points_xy.append(points_xy[index])
                    self._inner.append(inner[index - place])
                    self._outer.append(outer[index - place])
            place += len(squares)
        held = 4 * height * width * (len(self._low) - self._held_from)
        if held > _HELD_BYTES:
            for index in range(self._held_from, len(self._low)):
                self._lay_out(index, with_stability=True)
                self._low[index] = None
            self._held_from = len(self._low)

    def without_duplicates(self) -> Masks:
        """What is stable and not suppressed, by falling estimated IoU."""
        if not self._low:
            return Masks()
        kept = suppress_lazily(
            np.array(self._iou, np.float32),
            np.array(self._inner),
            np.array(self._outer),
            self._config.nms_iou,
            self._true_box,
            self._is_stable,
        )
        return masks_of(
            [self._rles[index] for index in kept],
            [self._iou[index] for index in kept],
            [self._stability[index] for index in kept],
            [self._points_xy[index] for index in kept],
        )

    def _bounds(self, seen: Tensor) -> tuple[Boxes, Boxes]:
        """Boxes (M, 4) inside and around the outermost pixels of masks in the square.

        A pixel of the image is a mean of the four of the square around it. So there is none of the
        mask beyond the middle of the next one outside it; and where four neighbours are of it, all
        pixels of the image between their middles are, of which there is one unless the image is
        smaller than in the square.
        """
        height, width = self._frame.size_hw
        used = self._frame.used_hw
        scale = np.array([width, height, width, height]) / (used[1], used[0], used[1], used[0])
        limits = np.array([width, height, width, height]) - 1
        outermost = boxes_of(seen).cpu().numpy() - (0, 0, 1, 1)
        outer = ((outermost + (-0.5, -0.5, 1.5, 1.5)) * scale - 0.5).clip(0, limits)
        if min(used) < 2 or scale.min() < 1:
            return np.tile([width, height, 0.0, 0], (len(seen), 1)), outer
        blocks = seen[:, 1:, 1:] & seen[:, 1:, :-1] & seen[:, :-1, 1:] & seen[:, :-1, :-1]
        innermost = boxes_of(blocks).cpu().numpy()
        inner = (innermost + 0.5) * scale - 0.5 + (1, 1, -1, -1)
        # Before the first middle, and after the last, the image is as there.
        inner = np.where(innermost == (0, 0, used[1] - 1, used[0] - 1), (0, 0, *limits[2:]), inner)
        inner[~blocks.any(2).any(1).cpu().numpy()] = (width, height, 0, 0)
        return inner, outer

    def _true_box(self, index: int) -> Boxes | None:
        if index not in self._rles:
            self._lay_out(index, with_stability=False)
        rle = self._rles[index]
        if rle.area_px == 0:
            return None
        # As in the package, a box ends at its outermost pixels, not one past them.
        return np.array(rle.box_xyxy(), np.float64) - (0, 0, 1, 1)

    def _is_stable(self, index: int) -> bool:
        if index not in self._stability:
            self._lay_out(index, with_stability=True)
            self._low[index] = None
        least = np.float32(self._config.least_stability)
        return bool(np.float32(self._stability[index]) >= least)

    def _lay_out(self, index: int, *, with_stability: bool) -> None:
        low = self._low[index]
        assert low is not None
        missing_hw = [self._frame.low_px - side for side in self._low_hw]
        padded = F.pad(low[None], (0, missing_hw[1], 0, missing_hw[0]))
        (square,) = self._frame.in_square(padded)
        offset = self._config.stability_offset if with_stability else 0.0
        columns = Columns.of_mask(square, self._frame, MASK_THRESHOLD - offset)
        if index not in self._rles:
            self._rles[index] = columns.rle(MASK_THRESHOLD)
        if with_stability:
            outer_px = columns.area_px(MASK_THRESHOLD - offset)
            inner_px = columns.area_px(MASK_THRESHOLD + offset)
            self._stability[index] = inner_px / outer_px if outer_px else 0.0


def boxes_of(masks: Tensor) -> Tensor:
    """Tight half-open boxes float [M, 4] of masks bool [M, h, w]; nonsense for empty ones."""
    rows, columns = masks.any(2).byte(), masks.any(1).byte()
    height, width = masks.shape[1:]
    top, left = rows.argmax(1), columns.argmax(1)
    bottom, right = height - rows.flip(1).argmax(1), width - columns.flip(1).argmax(1)
    return torch.stack([left, top, right, bottom], dim=1).float()
