"""Two small domains in which colour tells the class, and networks that learn it in seconds."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adaptation.config import Augmentation, Recipe
from models.adaptation.data import SourceSample, TargetSample
from models.bundle import Bundle
from models.ontology import Ontology
from models.segmentation.base import SegmentationOutput
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter

ONTOLOGY = Ontology.from_names("toy", ["red", "green", "blue"])
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
CPU = torch.device("cpu")
QUICK = Recipe(
    crop_hw=(16, 16),
    batch_size=2,
    learning_rate=1e-2,
    augmentation=Augmentation(gamma=(0.8, 1.25), gain=(0.8, 1.2), noise=0.02),
)


def truth(seed: int, size_hw: tuple[int, int] = (24, 24)) -> np.ndarray:
    """Blocks of classes, uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (3, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((size_hw[0] // 3, size_hw[1] // 3), np.uint8))


def picture(label: np.ndarray, darkness: float = 0.0, seed: int = 0) -> np.ndarray:
    """Its colours with noise, uint8 (H, W, 3)."""
    noise = np.random.default_rng(seed).normal(0, 6, (*label.shape, 3))
    return np.clip(COLOURS[label] * (1 - darkness) + noise, 0, 255).astype(np.uint8)


def source(count: int = 6) -> list[SourceSample]:
    return [SourceSample(f"s{i}", picture(truth(i), seed=i), truth(i)) for i in range(count)]


def target(count: int = 6, kept: float = 0.7) -> list[TargetSample]:
    """Dark images with true labels of which some pixels are dropped."""
    samples = []
    for i in range(count):
        label = truth(100 + i)
        image = picture(label, darkness=0.5, seed=100 + i)
        dropped = np.random.default_rng(i).random(label.shape) > kept
        confidence = np.where(dropped, 0, 230).astype(np.uint8)
        samples.append(
            TargetSample(f"t{i}", image, np.where(dropped, np.uint8(255), label), confidence)
        )
    return samples


def compact(seed: int = 0, width: int = 4) -> BundledSegmenter:
    """A segmenter with batch statistics."""
    torch.manual_seed(seed)
    module = CompactSegmenter(3, width=width, feature_channels=4)
    return BundledSegmenter(Bundle(module, ONTOLOGY, {"toy": seed}), CPU)


class PlainNet(nn.Module):
    """Two convolutions without any normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.classify = nn.Conv2d(8, 3, 1)


class PlainModel:
    """A segmenter without batch statistics, at full resolution."""

    has_batch_statistics = False
    ontology = ONTOLOGY
    device = CPU

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module: nn.Module = PlainNet()

    def forward(self, images: Tensor) -> SegmentationOutput:
        assert isinstance(self.module, PlainNet)
        features = F.relu(self.module.first(images))
        return SegmentationOutput(self.module.classify(features), features)
