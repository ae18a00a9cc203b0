"""Between the resolution of images and that of a network's maps."""

import torch
from torch import Tensor
from torch.nn import functional as F


def upsampled(
    logits: Tensor, size_hw: tuple[int, int], covers_hw_px: tuple[int, int] | None = None
) -> Tensor:
    """Logits [B, K, h, w] at every pixel, float [B, K, H, W].

    Args:
        size_hw: of the images.
        covers_hw_px: input pixels that the logits span, if more than the images have.
    """
    height, width = covers_hw_px or size_hw
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    return full[..., : size_hw[0], : size_hw[1]]


def labels_at(labels: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Labels [B, H, W] at the centres of coarser cells, of the same type, [B, h, w]."""
    rows = _centres(labels.shape[-2], size_hw[0], labels.device)
    columns = _centres(labels.shape[-1], size_hw[1], labels.device)
    return labels[..., rows[:, None], columns]


def _centres(pixels: int, cells: int, device: torch.device) -> Tensor:
    centres = (torch.arange(cells, device=device) + 0.5) * pixels / cells
    return centres.long().clamp(max=pixels - 1)
