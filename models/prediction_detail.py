"""What the stages after `select` want to know of a prediction beside class and confidence.

Class probabilities and the segmenter's features, both on coarse grids: regions are larger than a
few pixels, and K maps at full resolution would take a hundred times the memory.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.segmentation.sliding_window import Axis, Block, Window, WindowGrid
from models.segmentation.views import View

CELL_PX = 4


@dataclass(frozen=True, eq=False)
class PredictionDetail:
    """Coarse maps of one image of H x W pixels.

    Attributes:
        probabilities: mean class probabilities over cells of 4 x 4 pixels, float16
            (K, ceil(H / 4), ceil(W / 4)).
        features: the segmenter's features, float16 (C, h, w); None if it gives none.
        features_cover_hw_px: how many pixels `features` spans from the top left corner.
        agreement: means of `Prediction.agreement` over the same cells, float16
            (ceil(H / 4), ceil(W / 4)); None of a single look.
        image: what was looked at, uint8 (H, W, 3) RGB; None if it is not at hand.
    """

    probabilities: npt.NDArray[np.float16]
    features: npt.NDArray[np.float16] | None
    features_cover_hw_px: tuple[float, float]
    agreement: npt.NDArray[np.float16] | None = None
    image: npt.NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        parts = (self.probabilities, self.features, self.agreement, self.image)
        return sum(part.nbytes for part in parts if part is not None)


class DetailCollector:
    """Gathers the detail of one image while its windows are computed.

    Args:
        size_hw: height and width of the image.
        num_classes: K.
        grid: the windows.
        with_agreement: blocks have agreement as a last channel.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        num_classes: int,
        grid: WindowGrid,
        with_agreement: bool = False,
    ) -> None:
        self._size_hw, self._grid, self._num_classes = size_hw, grid, num_classes
        cells_hw = tuple(-(-side // CELL_PX) for side in size_hw)
        self._sums = torch.zeros(num_classes + int(with_agreement), *cells_hw)
        self._features: Tensor | None = None
        self._covers_hw_px = (float(size_hw[0]), float(size_hw[1]))

    def add_block(self, block: Block) -> None:
        """Counts finished probabilities; every pixel comes once."""
        if block.probabilities.device.type != "cpu":
            cells = cell_sums(block.probabilities.float(), block.y, block.x).cpu()
            top, left = block.y // CELL_PX, block.x // CELL_PX
            self._sums[:, top : top + cells.shape[1], left : left + cells.shape[2]] += cells
            return
        values = block.probabilities.float()
        rows = torch.arange(block.y, block.y + values.shape[1]) // CELL_PX
        columns = torch.arange(block.x, block.x + values.shape[2]) // CELL_PX
        first, last = int(columns[0]), int(columns[-1]) + 1
        by_column = torch.zeros(values.shape[0], values.shape[1], last - first)
        by_column.index_add_(2, columns - first, values)
        self._sums[:, :, first:last].index_add_(1, rows, by_column)

    def add_features(self, view: View, index: int, window: Window) -> None:
        """Places the features of one window; where two overlap, each has its own half."""
        if view.features is None:
            return
        values = view.features[index].to(torch.float16).cpu()
        if len(self._grid) == 1:
            self._features, self._covers_hw_px = values, view.features_cover_hw_px
            return
        steps_px = [c / n for c, n in zip(view.features_cover_hw_px, values.shape[1:], strict=True)]
        if self._features is None:
            sides = zip(self._size_hw, steps_px, strict=True)
            cells_hw = [math.ceil(side / step) for side, step in sides]
            self._features = torch.zeros(values.shape[0], *cells_hw, dtype=torch.float16)
            self._covers_hw_px = (cells_hw[0] * steps_px[0], cells_hw[1] * steps_px[1])
        top, rows = _own_cells(self._grid.rows, window.row, steps_px[0])
        left, columns = _own_cells(self._grid.columns, window.column, steps_px[1])
        height = min(values.shape[1] - top, self._features.shape[1] - rows)
        width = min(values.shape[2] - left, self._features.shape[2] - columns)
        self._features[:, rows : rows + height, columns : columns + width] = values[
            :, top : top + height, left : left + width
        ]

    def finish(self, image: npt.NDArray[np.uint8] | None = None) -> PredictionDetail:
        """The detail, once every window was added, with the image if it is given."""
        height, width = self._size_hw
        rows = torch.bincount(torch.arange(height) // CELL_PX)
        columns = torch.bincount(torch.arange(width) // CELL_PX)
        means = (self._sums / (rows[:, None] * columns)).to(torch.float16).numpy()
        probabilities, agreement = means[: self._num_classes], means[self._num_classes :]
        return PredictionDetail(
            probabilities,
            None if self._features is None else self._features.numpy(),
            self._covers_hw_px,
            agreement[0] if len(agreement) else None,
            image,
        )


def cell_sums(values: Tensor, y: int, x: int) -> Tensor:
    """Sums over the cells of an image that a rectangle touches, float [K, h, w].

    Args:
        values: of the rectangle's pixels, float [K, H, W].
        y, x: its top left pixel.
    """
    height, width = values.shape[1:]
    top, left = y % CELL_PX, x % CELL_PX
    beyond = (left, -(left + width) % CELL_PX, top, -(top + height) % CELL_PX)
    padded = F.pad(values, beyond)
    rows, columns = (side // CELL_PX for side in padded.shape[1:])
    return padded.reshape(len(values), rows, CELL_PX, columns, CELL_PX).sum((2, 4))


def _own_cells(axis: Axis, index: int, step_px: float) -> tuple[int, int]:
    """First cell of a window that is its own along an axis, and that cell's place in the image.

    A window leaves to the one before it the first half of what both cover.
    """
    skipped = 0
    if index > 0:
        shared_px = axis.starts[index - 1] + axis.window_px - axis.starts[index]
        skipped = int(shared_px // (2 * step_px))
    return skipped, round(axis.starts[index] / step_px) + skipped
