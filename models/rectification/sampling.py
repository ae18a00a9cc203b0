"""Where a field is trained: points at random, half of them near the edges of a label.

IR2F-style reconstruction: LIIF trains on random points (section 4.1 of its paper); drawing half of
them from the band around label edges is ours, since that is where reliability changes.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_PX: Final = 5


def near_edges(label: Tensor, band_px: int) -> Tensor:
    """Pixels at most `band_px` (chessboard distance) from one with another label, bool [B, H, W].

    The border of the image is no edge; the border of what is ignored (255) is one.

    Args:
        label: uint8 or int64 [B, H, W], values below 2**24.
        band_px: at least 1.
    """
    side = 2 * band_px + 1
    values = label[:, None].float()
    # The second channel negated: its largest value is the smallest one of the first.
    both = torch.cat([values, -values], dim=1)
    both = F.max_pool2d(both, (1, side), stride=1, padding=(0, band_px))
    highest, lowest = F.max_pool2d(both, (side, 1), stride=1, padding=(band_px, 0)).unbind(1)
    return highest != -lowest


def draw_points(
    label: Tensor, count: int, generator: torch.Generator, band_px: int = BAND_PX
) -> Tensor:
    """Random points y, x in pixels, half of them near an edge, float32 [B, count, 2].

    The first half (rounded up) is uniform over the image, the second over the pixels of
    `near_edges`; within a pixel both are uniform. An image without edges gets uniform points only.

    Args:
        label: uint8 or int64 [B, H, W].
        count: points an image.
        generator: on the CPU; the same state gives the same points on every device.
    """
    height, width = label.shape[1:]
    near = near_edges(label, band_px).flatten(1).cpu()
    pixels = torch.randint(height * width, (len(label), count), generator=generator)
    banded = count // 2
    for image, inside in enumerate(near):
        candidates = inside.nonzero()[:, 0]
        if banded and len(candidates):
            drawn = torch.randint(len(candidates), (banded,), generator=generator)
            pixels[image, count - banded :] = candidates[drawn]
    within = torch.rand(len(label), count, 2, generator=generator)
    corners = torch.stack([pixels // width, pixels % width], dim=-1)
    return (corners + within).to(label.device)


def at_points(values: Tensor, coordinates_yx_px: Tensor) -> Tensor:
    """Values of the pixels that points lie in: [B, Q], or [B, Q, K] of maps with channels.

    Points outside read the nearest pixel.

    Args:
        values: [B, H, W] or [B, K, H, W], any dtype.
        coordinates_yx_px: float [B, Q, 2].
    """
    height, width = values.shape[-2:]
    pixels = coordinates_yx_px.floor().long()
    y, x = pixels[..., 0].clamp(0, height - 1), pixels[..., 1].clamp(0, width - 1)
    image = torch.arange(len(values), device=values.device)[:, None]
    return values[image, ..., y, x]
