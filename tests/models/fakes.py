"""Small models whose answers are known or easy to compute a second time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ontology import Ontology
from models.segmentation.base import SegmentationOutput


def names(count: int) -> Ontology:
    return Ontology.from_names("test", [f"class {i}" for i in range(count)])


class RedModel:
    """Two classes; the score of class 1 is 10 times the red channel less 5, pixel by pixel."""

    ontology = names(2)
    device = torch.device("cpu")
    has_batch_statistics = False

    def forward(self, images: Tensor) -> SegmentationOutput:
        red = images[:, :1] * 10 - 5
        return SegmentationOutput(torch.cat([torch.zeros_like(red), red], dim=1))


class ConvModel:
    """A seeded 5x5 convolution at a stride: what it says near a border depends on the window."""

    device = torch.device("cpu")
    has_batch_statistics = False

    def __init__(self, num_classes: int = 3, stride: int = 1, gain: float = 4.0) -> None:
        self.ontology = names(num_classes)
        generator = torch.Generator().manual_seed(7)
        self.weight = torch.randn(num_classes, 3, 5, 5, generator=generator) * gain / 5
        self.stride = stride
        self.batch_sizes: list[int] = []
        self.sizes_hw: list[tuple[int, int]] = []

    def forward(self, images: Tensor) -> SegmentationOutput:
        height, width = images.shape[-2:]
        self.batch_sizes.append(images.shape[0])
        self.sizes_hw.append((height, width))
        padded = F.pad(images - 0.5, (0, -width % self.stride, 0, -height % self.stride))
        logits = F.conv2d(padded, self.weight, stride=self.stride, padding=2)
        return SegmentationOutput(logits, covers_hw_px=(padded.shape[2], padded.shape[3]))


class HungryModel(ConvModel):
    """Runs out of memory on more than `most_pixels` pixels at once."""

    def __init__(self, most_pixels: int, error: BaseException) -> None:
        super().__init__()
        self.most_pixels = most_pixels
        self.error = error

    def forward(self, images: Tensor) -> SegmentationOutput:
        if images.shape[0] * images.shape[2] * images.shape[3] > self.most_pixels:
            raise self.error
        return super().forward(images)


class TinyNet(nn.Module):
    """Convolution, BatchNorm, 1x1 convolution: a network with batch statistics."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.5)
        self.classify = nn.Conv2d(4, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.drop(self.norm(self.conv(images))))
        return logits


class TinyNetModel:
    """TinyNet, or any module from images to logits, behind the interface of the label path."""

    device = torch.device("cpu")

    def __init__(self, module: nn.Module, num_classes: int = 3, has_norm: bool = True) -> None:
        self.module: Any = module.eval()
        self.ontology = names(num_classes)
        self.has_batch_statistics = has_norm

    def forward(self, images: Tensor) -> SegmentationOutput:
        return SegmentationOutput(self.module(images))
