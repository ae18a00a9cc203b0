"""What the label path asks of a segmentation model."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from models.ontology import Ontology


@dataclass
class SegmentationOutput:
    """What one forward pass over images [B, 3, H, W] gives.

    Attributes:
        logits: float [B, K, h, w]; h, w may be smaller than H, W.
        features: float [B, C, h2, w2] from which the classes were computed, or None.
        covers_hw_px: how many input pixels `logits` spans from the top left corner. It is larger
            than (H, W) where the model padded at the bottom and right; None means exactly (H, W).
    """

    logits: Tensor
    features: Tensor | None = None
    covers_hw_px: tuple[int, int] | None = None


class SegmentationModel(Protocol):
    """Pixels to class scores. Ready for inference: on its device, in evaluation mode."""

    ontology: Ontology
    device: torch.device
    has_batch_statistics: bool

    def forward(self, images: Tensor) -> SegmentationOutput:
        """Class scores of images, float32 [B, 3, H, W] RGB in [0, 1], for any H, W >= 1."""
        ...


class ModuleModel(SegmentationModel, Protocol):
    """A model whose weights are at hand, so that they can be adapted and saved."""

    @property
    def module(self) -> nn.Module: ...


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The layers of `module` that normalise with running statistics, in order of registration."""
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    ]
