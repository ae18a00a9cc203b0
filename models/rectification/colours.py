"""Colours as a field reads them: a field over features of stride 4 or 16 sees an edge between two
cells only here.

That colours at full resolution place an edge that coarse predictions do not is the idea of joint
bilateral upsampling (Kopf, Cohen, Lischinski and Uyttendaele, SIGGRAPH 2007); here it is left to
the field what to make of them.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST_DEVIATION: Final = 4.0


def normalised_colours(image: npt.NDArray[np.uint8]) -> Tensor:
    """The image with mean 0 and deviation 1 over all pixels and channels, float32 [1, 3, H, W].

    So it looks much the same by day, by night and in fog. A flat image stays flat.

    Args:
        image: uint8 (H, W, 3).
    """
    values = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    deviation = values.std(correction=0).clamp(min=_LEAST_DEVIATION)
    return (values - values.mean((2, 3), keepdim=True)) / deviation


def cell_means(
    colours: Tensor, cells_hw: tuple[int, int], cover_hw_px: tuple[float, float]
) -> Tensor:
    """Means of the colours over the cells of a map, float32 [1, 3, h, w].

    Args:
        colours: float32 [1, 3, H, W].
        cells_hw: h and w.
        cover_hw_px: how many pixels the cells span from the top left corner; beyond the image its
            border goes on.
    """
    sides = [max(1, round(side)) for side in cover_hw_px]
    height, width = colours.shape[2:]
    beyond = [max(0, side - own) for side, own in zip(sides, (height, width), strict=True)]
    padded = F.pad(colours, (0, beyond[1], 0, beyond[0]), mode="replicate")
    return F.adaptive_avg_pool2d(padded[:, :, : sides[0], : sides[1]], cells_hw)
