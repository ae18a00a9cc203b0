"""How an image lies in the square that a SAM sees, and the way of its masks back to the image.

A mask leaves the decoder on a grid coarser than the square, is interpolated to the square, loses
what was padding, and is interpolated to the image (`Sam.postprocess_masks`). The last step makes
2 million values of 65 thousand. Between two source rows the values change linearly, so the row in
which a column crosses the threshold is known without computing those between, and crossings are
all that a run-length code holds: a mask is never laid out at the size of the image.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.promptable.base import RgbImage
from models.rle import Rle


@dataclass(frozen=True)
class Frame:
    """An image in the square.

    Attributes:
        size_hw: of the image, in pixels.
        square_px: side of the square.
        low_px: side of the decoder's masks, which cover the square.
    """

    size_hw: tuple[int, int]
    square_px: int
    low_px: int

    @property
    def used_hw(self) -> tuple[int, int]:
        """Height and width of the image in the square, in its top left corner."""
        scale = self.square_px * 1.0 / max(self.size_hw)
        height, width = (max(1, int(side * scale + 0.5)) for side in self.size_hw)
        return height, width

    @property
    def low_hw(self) -> tuple[int, int]:
        """Rows and columns of the decoder's masks that see some of the image."""
        height, width = (math.ceil(u * self.low_px / self.square_px) for u in self.used_hw)
        return height, width

    @property
    def covers_hw_px(self) -> tuple[float, float]:
        """Height and width of the whole square in pixels of the image."""
        (height, width), used = self.size_hw, self.used_hw
        return self.square_px * height / used[0], self.square_px * width / used[1]

    def image_in_square(self, image: RgbImage) -> npt.NDArray[np.uint8]:
        """The image as the square shows it, uint8 (used height, used width, 3)."""
        height, width = self.used_hw
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(resized)

    def places_in_square(self, places_xy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Places x, y in the image, (..., 2), as places in the square."""
        (height, width), used = self.size_hw, self.used_hw
        return np.asarray(places_xy, np.float64) * (used[1] / width, used[0] / height)

    def in_square(self, low: Tensor) -> Tensor:
        """Logits float [M, low, low] at the square's resolution, padding gone."""
        side = (self.square_px, self.square_px)
        square = F.interpolate(low[:, None], side, mode="bilinear", align_corners=False)[:, 0]
        return square[:, : self.used_hw[0], : self.used_hw[1]]


@dataclass(frozen=True)
class Columns:
    """One mask's logits, interpolated to the columns of the image and not yet to its rows.

    Attributes:
        values: float [columns, rows]: columns of the image, rows of the square.
        first_column: which column of the image the first is.
        first_row: which row of the square.
        frame: of the image.
    """

    values: Tensor
    first_column: int
    first_row: int
    frame: Frame

    @classmethod
    def of_mask(cls, square: Tensor, frame: Frame, least: float) -> "Columns":
        """The part of a mask that can be above a threshold of `least` or more.

        Args:
            square: float [used height, used width].
            frame: of the image.
            least: no threshold below it may be asked for afterwards.
        """
        above = square > least
        top, bottom = _extent(above.any(1))
        left, right = _extent(above.any(0))
        source, share = _sources(frame.used_hw[1], frame.size_hw[1], square.device)
        # A column or row that looks at one above the threshold may itself be above it.
        first, last = torch.searchsorted(source, source.new_tensor([left - 1, right])).tolist()
        top, bottom = max(0, top - 1), min(frame.used_hw[0], bottom + 1)
        here = source[first:last]
        following = (here + 1).clamp_(max=frame.used_hw[1] - 1)
        by_column = square[top:bottom].T.contiguous()
        weight = share[first:last, None].to(square.dtype)
        values = torch.lerp(by_column[here], by_column[following], weight)
        return cls(values, first, top, frame)

    def crossings(self, threshold: float) -> npt.NDArray[np.int64]:
        """Where the mask of pixels above a threshold begins and ends, by turns, rising.

        Places in the column-major flattened image. Two may be equal: a run of no length.
        """
        columns, rows = self.values.shape
        above = torch.zeros(columns, rows + 2, dtype=torch.bool, device=self.values.device)
        torch.gt(self.values, threshold, out=above[:, 1:-1])
        flat = (above[:, 1:] != above[:, :-1]).flatten().nonzero()[:, 0]
        column, edge = flat // (rows + 1), flat % (rows + 1)
        # Edge k lies between the rows k - 1 and k of the window.
        before = self.values[column, (edge - 1).clamp_(min=0)].double()
        after = self.values[column, edge.clamp(max=rows - 1)].double()
        share = ((threshold - before) / (after - before)).nan_to_num_(0.0)
        height, used = self.frame.size_hw[0], self.frame.used_hw[0]
        source = self.first_row + edge - 1
        row = (source + share + 0.5) * (height / used) - 0.5
        row = torch.where(after > before, row.floor() + 1, row.ceil())
        first = _first_rows(height, used, row.device)
        row = torch.maximum(row, first[source.clamp(min=0)])
        row = torch.minimum(row, first[(source + 1).clamp_(max=used)])
        # The window ends at a threshold's reach or at the image's own edge.
        row[edge == 0] = 0
        row[edge == rows] = height
        places = (self.first_column + column) * height + row.long()
        return places.cpu().numpy()

    def area_px(self, threshold: float) -> int:
        """Number of pixels above a threshold."""
        places = self.crossings(threshold)
        return int(places[1::2].sum() - places[::2].sum())

    def rle(self, threshold: float) -> Rle:
        """The mask of pixels above a threshold."""
        places = self.crossings(threshold)
        if len(places) and (places[1:] == places[:-1]).any():
            # Where one run ends another begins, or one has no length: both places go.
            places, times = np.unique(places, return_counts=True)
            places = places[times % 2 == 1]
        height, width = self.frame.size_hw
        ends = np.append(places, height * width)
        if len(places) and places[-1] == height * width:
            ends = places
        return Rle((height, width), np.diff(ends, prepend=0).astype(np.uint32))


def _extent(occupied: Tensor) -> tuple[int, int]:
    """First and one past the last true place; 0, 0 if there is none."""
    places = occupied.nonzero()[:, 0]
    return (0, 0) if len(places) == 0 else (int(places[0]), int(places[-1]) + 1)


def _sources(used_px: int, size_px: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each pixel of an axis the place before it, int64, and the share of the next, float64."""
    pixel = torch.arange(size_px, dtype=torch.float64, device=device)
    place = ((pixel + 0.5) * (used_px / size_px) - 0.5).clamp_(min=0)
    source = place.floor()
    return source.long(), place - source


def _first_rows(height_px: int, used_px: int, device: torch.device) -> Tensor:
    """The first row of the image at or after the middle of each row of the square, and its end."""
    source = torch.arange(used_px + 1, dtype=torch.float64, device=device)
    row = ((source + 0.5) * (height_px / used_px) - 0.5).ceil().clamp_(max=height_px)
    row[0], row[-1] = 0, height_px
    return row
