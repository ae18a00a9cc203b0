"""Coarse maps read at pixels, sharp at edges of the image: a local ensemble that sees colours.

LIIF blends the answers of the cells around a point by how near they are (its local ensemble). Here
a cell counts the more, the more its mean colour is that of the pixel too: joint bilateral
upsampling (Kopf, Cohen, Lischinski and Uyttendaele, SIGGRAPH 2007). An edge that runs through a
cell is then where the colours change, which no map of cells knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

REACH_CELLS: Final = 2
"""Cells asked on each side of the one that a pixel lies in."""
NEARNESS_CELLS: Final = 1.0
"""Standard deviation of the weight by distance."""
LIKENESS: Final = 0.4
"""Standard deviation of the weight by colour, in standard deviations of the image's colours."""
# All three chosen on generated targets of the choosing range.

_LEAST_LIKENESS: Final = 1e-4  # a pixel like no cell around it is read by distance alone
_LEAST_DEVIATION: Final = 4.0
_BILATERAL: Final = (5, 30.0, 2.0)


@dataclass(frozen=True, eq=False)
class Guide:
    """The colours of an image, as far as they guide.

    Attributes:
        colours: noise smoothed, mean 0, deviation 1 over all pixels and channels, float32
            [1, 3, H, W].
    """

    colours: Tensor

    @classmethod
    def of(cls, image: npt.NDArray[np.uint8], device: torch.device | str = "cpu") -> "Guide":
        """The guide of an image, uint8 (H, W, 3) RGB, on a device; a flat one does not guide."""
        smooth = cv2.bilateralFilter(np.ascontiguousarray(image), *_BILATERAL).astype(np.float32)
        smooth -= smooth.mean((0, 1))
        smooth /= max(float(smooth.std()), _LEAST_DEVIATION)
        return cls(torch.from_numpy(smooth).to(device).permute(2, 0, 1)[None])

    def read(
        self, values: Tensor, cover_hw_px: tuple[float, float], pixels_yx: Sequence[Tensor]
    ) -> Tensor:
        """A map of cells at N pixels, float [N, K]; beyond the border of the map its border.

        Args:
            values: float [1, K, h, w].
            cover_hw_px: how many pixels the map spans from the top left corner.
            pixels_yx: rows and columns, int64 [N] each.
        """
        cells_hw = values.shape[2:]
        places = [
            (at + 0.5) * (count / cover) - 0.5
            for at, count, cover in zip(pixels_yx, cells_hw, cover_hw_px, strict=True)
        ]
        nearest = [place.round() for place in places]
        own = self.colours[0][:, pixels_yx[0], pixels_yx[1]]
        means = self._means((cells_hw[0], cells_hw[1]), cover_hw_px).flatten(1)
        flat = values[0].flatten(1)
        found = flat.new_zeros(len(flat), own.shape[1])
        total = flat.new_zeros(own.shape[1])
        steps = range(-REACH_CELLS, REACH_CELLS + 1)
        for offsets in product(steps, steps):
            asked = [at + offset for at, offset in zip(nearest, offsets, strict=True)]
            apart = (places[0] - asked[0]) ** 2 + (places[1] - asked[1]) ** 2
            row, column = (
                a.clamp(0, count - 1).long() for a, count in zip(asked, cells_hw, strict=True)
            )
            cell = row * cells_hw[1] + column
            unlike = (own - means[:, cell]).square().sum(0)
            likeness = torch.exp(-unlike / (2 * LIKENESS**2)) + _LEAST_LIKENESS
            weight = torch.exp(-apart / (2 * NEARNESS_CELLS**2)) * likeness
            found += weight * flat[:, cell]
            total += weight
        return (found / total).T

    def _means(self, cells_hw: tuple[int, int], cover_hw_px: tuple[float, float]) -> Tensor:
        """Means of the colours over cells, float32 [3, h, w]."""
        rows, columns = (max(1, round(side)) for side in cover_hw_px)
        height, width = self.colours.shape[2:]
        beyond = (0, max(0, columns - width), 0, max(0, rows - height))
        padded = F.pad(self.colours, beyond, mode="replicate")[:, :, :rows, :columns]
        return F.adaptive_avg_pool2d(padded, cells_hw)[0]
