"""Small fields and images for the tests of this folder."""

from typing import Any

import torch
from torch import Tensor

from models.rectification.field import FieldInput, FieldShape, ImplicitRectifier

# The ways a field differs from the default, smaller in all else.
SWITCHES: list[dict[str, Any]] = [
    {},
    {"unfold": False},
    {"ensemble": False},
    {"relative": False},
    {"fourier_octaves": 3},
    {"cell": True},
    {"per_class": True},
    {"hidden": (8,)},
    {"agreement": True},
    {"relative": False, "ensemble": False, "unfold": False, "fourier_octaves": 2},
]


def small_field(seed: int = 0, **switches: Any) -> ImplicitRectifier:
    sizes: dict[str, Any] = {"reduced_channels": 4, "hidden": (16, 8), **switches}
    torch.manual_seed(seed)
    field = ImplicitRectifier(FieldShape(feature_channels=5, num_classes=3, **sizes))
    with torch.no_grad():
        # A new field hardly varies; twice the weights make one that could have been learnt.
        for weights in field.parameters():
            if weights.ndim > 1:
                weights.mul_(2)
    return field


def random_input(
    cells_hw: tuple[int, int],
    cover_hw_px: tuple[float, float],
    images: int = 1,
    seed: int = 0,
    coarse_hw: tuple[int, int] = (3, 2),
    coarse_cover_hw_px: tuple[float, float] = (12.0, 8.0),
    agreement: bool = False,
) -> FieldInput:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 5, *cells_hw, generator=generator)
    scores = 2 * torch.randn(images, 3, *coarse_hw, generator=generator)
    agreed = torch.rand(images, 1, *coarse_hw, generator=generator) if agreement else None
    return FieldInput(features, cover_hw_px, scores.softmax(1), coarse_cover_hw_px, agreed)


def centres(height: int, width: int, images: int = 1) -> Tensor:
    """Centres of all pixels in reading order, float [images, height * width, 2]."""
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    return torch.cartesian_prod(y, x).view(1, -1, 2).expand(images, -1, 2)
