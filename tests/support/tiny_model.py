"""A model bundle with random weights: small, seeded, good for nothing but its bytes."""

from pathlib import Path

import torch

from models.bundle import write_bundle
from models.ontology import ClassInfo, Ontology
from models.segmentation.compact import CompactSegmenter
from tests.support.tiny_rectifier import FEATURE_CHANNELS, tiny_rectifier

TINY_ONTOLOGY = Ontology(
    "tiny",
    (
        ClassInfo(0, "road", "stuff", (128, 64, 128)),
        ClassInfo(1, "sky", "stuff", (70, 130, 180)),
        ClassInfo(2, "car", "thing", (0, 0, 142)),
    ),
)


def write_tiny_bundle(folder: Path, seed: int = 0, *, rectified: bool = False) -> Path:
    """Write a bundle with weights drawn from `seed` and return its folder."""
    torch.manual_seed(seed)
    module = CompactSegmenter(3, width=4, feature_channels=FEATURE_CHANNELS)
    for parameter in module.classify.parameters():
        parameter.data.normal_(std=1.0)
    _balance(module)
    rectifier = tiny_rectifier(TINY_ONTOLOGY) if rectified else None
    write_bundle(folder, module, TINY_ONTOLOGY, {"seed": seed}, rectifier=rectifier)
    return folder


def _balance(module: CompactSegmenter) -> None:
    """Take statistics on noise and shift the logits, so that every class occurs."""
    noise = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4), (24, 32), mode="bilinear")
    with torch.no_grad():
        module.train()
        for _ in range(20):
            module(noise)
        module.eval()
        module.classify.bias -= module(noise).logits.mean(dim=(0, 2, 3))
