"""Windows over a large image, and the blending of what they say.

No more than one window and its overlaps with the next ones is held at once: probabilities come out
as blocks, each as soon as no further window covers it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: all of `window_px`, the first at 0, the last at the end."""

    length_px: int
    window_px: int
    starts: tuple[int, ...]
    ramp_px: int

    @property
    def carried_px(self) -> int:
        """The most pixels of a window that later windows cover too."""
        gaps = [after - before for before, after in zip(self.starts, self.starts[1:], strict=False)]
        return self.window_px - min(gaps) if gaps else 0

    def weights(self, index: int) -> Tensor:
        """Share of window `index` in each of its pixels, float32 (window_px,).

        Raw weights rise linearly from the border of the window over `ramp_px` and are 1 inside;
        they are divided by their sum over all windows, so that the shares at a pixel add up to 1.
        """
        pixel = torch.arange(self.window_px, dtype=torch.float64)
        from_border = torch.minimum(pixel, self.window_px - 1 - pixel) + 0.5
        raw = (from_border / self.ramp_px).clamp(max=1.0)
        total = torch.zeros(self.length_px, dtype=torch.float64)
        for start in self.starts:
            total[start : start + self.window_px] += raw
        start = self.starts[index]
        return (raw / total[start : start + self.window_px]).float()


def plan_axis(length_px: int, max_window_px: int, overlap: float, exact: bool = False) -> Axis:
    """The fewest windows of at most `max_window_px` that overlap by the share `overlap`.

    If one window does not suffice, all are made as small as the share allows. An image a little
    longer than a window is then two smaller windows, and not two large ones on nearly the same
    pixels; overlaps, and with them the memory for blending, stay bounded. With `exact` the windows
    keep their size, and overlap by more where need be.
    """
    if length_px <= max_window_px:
        return Axis(length_px, length_px, (0,), 1)
    step = 1.0 - overlap
    count = 1 + math.ceil((length_px / max_window_px - 1) / step)
    window_px = max_window_px
    if not exact:
        window_px = min(window_px, math.ceil(length_px / (1 + (count - 1) * step)))
    last = length_px - window_px
    starts = tuple(round(i * last / (count - 1)) for i in range(count))
    return Axis(length_px, window_px, starts, max(1, round(overlap * window_px)))


@dataclass(frozen=True)
class Window:
    """A window's place in the grid and the image coordinates of its top left pixel."""

    row: int
    column: int
    y: int
    x: int


@dataclass(frozen=True)
class WindowGrid:
    """All windows of an image, in rows from the top left; all have the same size."""

    rows: Axis
    columns: Axis

    @classmethod
    def plan(cls, size_hw: tuple[int, int], window_px: int, overlap: float) -> "WindowGrid":
        return cls(
            plan_axis(size_hw[0], window_px, overlap), plan_axis(size_hw[1], window_px, overlap)
        )

    @classmethod
    def of_fixed_size(
        cls, size_hw: tuple[int, int], window_hw: tuple[int, int], overlap: float
    ) -> "WindowGrid":
        """Windows of one size for a model that takes no other."""
        return cls(
            plan_axis(size_hw[0], window_hw[0], overlap, exact=True),
            plan_axis(size_hw[1], window_hw[1], overlap, exact=True),
        )

    @property
    def window_hw(self) -> tuple[int, int]:
        return self.rows.window_px, self.columns.window_px

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def __iter__(self) -> Iterator[Window]:
        for i, y in enumerate(self.rows.starts):
            for j, x in enumerate(self.columns.starts):
                yield Window(i, j, y, x)


@dataclass(frozen=True)
class Block:
    """Class probabilities of a rectangle: float32 [K, h, w], its top left pixel at (y, x).

    Other values of the pixels may follow as further channels.
    """

    y: int
    x: int
    probabilities: Tensor


class Blender:
    """Turns the probabilities of windows into blocks that cover each pixel of the image once.

    Windows are added in the order of the grid, each as strips of whole rows from its top. Held are
    the part of a window that its right neighbour covers too, [K, window, overlap], and the part of
    a row of windows that the next row covers too, [K, overlap, W].
    """

    def __init__(self, grid: WindowGrid, num_classes: int, device: torch.device) -> None:
        self._grid = grid
        height, _ = grid.window_hw
        self._right = torch.zeros(num_classes, height, grid.columns.carried_px, device=device)
        self._below = torch.zeros(
            num_classes, grid.rows.carried_px, grid.columns.length_px, device=device
        )
        self._row_weights = [grid.rows.weights(i) for i in range(len(grid.rows.starts))]
        self._column_weights = [grid.columns.weights(j) for j in range(len(grid.columns.starts))]

    def add(self, window: Window, row: int, strip: Tensor) -> Iterator[Block]:
        """Takes rows `row`, `row` + 1, … of a window, [K, r, w]; gives what is complete by them.

        `strip` is changed in place.
        """
        if len(self._grid) == 1:
            yield Block(row, 0, strip)
            return
        vertical = self._row_weights[window.row][row : row + strip.shape[1]]
        weight = vertical[:, None] * self._column_weights[window.column]
        strip.mul_(weight.to(strip.device))
        done = self._join_left(window, row, strip)
        complete = self._join_above(window, row, done)
        if complete.shape[1]:
            yield Block(window.y + row, window.x, complete)

    def _join_left(self, window: Window, row: int, strip: Tensor) -> Tensor:
        """Adds what the left neighbours said; keeps what right ones cover too; gives the rest."""
        starts = self._grid.columns.starts
        rows = slice(row, row + strip.shape[1])
        if window.column > 0:
            carried = starts[window.column - 1] + strip.shape[2] - window.x
            strip[:, :, :carried] += self._right[:, rows, :carried]
        if window.column + 1 == len(starts):
            return strip
        width = starts[window.column + 1] - window.x
        self._right[:, rows, : strip.shape[2] - width] = strip[:, :, width:]
        return strip[:, :, :width]

    def _join_above(self, window: Window, row: int, done: Tensor) -> Tensor:
        """The same for the windows above and below.

        `_below` is a ring over image rows. A row is read before the row that takes its place is
        written, because a window's strips come from the top and their columns are its own.
        """
        starts, height = self._grid.rows.starts, self._grid.rows.window_px
        columns = slice(window.x, window.x + done.shape[2])
        top = window.y + row
        slots = torch.arange(top, top + done.shape[1]) % max(1, self._below.shape[1])
        if window.row > 0:
            carried = min(done.shape[1], max(0, starts[window.row - 1] + height - top))
            done[:, :carried] += self._below[:, slots[:carried], columns]
        if window.row + 1 == len(starts):
            return done
        complete = min(done.shape[1], max(0, starts[window.row + 1] - top))
        self._below[:, slots[complete:], columns] = done[:, complete:]
        return done[:, :complete]
