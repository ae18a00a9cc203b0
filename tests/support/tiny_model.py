"""A model bundle with random weights: small, seeded, good for nothing but its bytes."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from models.bundle import write_bundle
from models.ontology import ClassInfo, Ontology
from models.segmentation.compact import CompactSegmenter
from models.segmentation.loading import check_model
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
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files(seed, rectified).items():
        (folder / name).write_bytes(data)
    return folder


@cache
def _files(seed: int, rectified: bool) -> dict[str, bytes]:
    """File names and bytes of a bundle; to draw it takes longer than what most tests do with it."""
    torch.manual_seed(seed)
    module = CompactSegmenter(3, width=4, feature_channels=FEATURE_CHANNELS)
    for parameter in module.classify.parameters():
        parameter.data.normal_(std=1.0)
    _balance(module)
    rectifier = tiny_rectifier(TINY_ONTOLOGY) if rectified else None
    with TemporaryDirectory(prefix="selvage-tiny-") as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(bundle, module, TINY_ONTOLOGY, {"seed": seed}, rectifier=rectifier)
        return {path.name: path.read_bytes() for path in bundle.iterdir()}


@cache
def _facts(seed: int, rectified: bool) -> dict[str, Any]:
    with TemporaryDirectory(prefix="selvage-tiny-") as folder:
        return check_model(write_tiny_bundle(Path(folder), seed, rectified=rectified), "cpu")


def tiny_facts(seed: int = 0, *, rectified: bool = False) -> dict[str, Any]:
    """What a check of such a bundle finds, see `check_model`."""
    return deepcopy(_facts(seed, rectified))


def _balance(module: CompactSegmenter) -> None:
    """Take statistics on noise and shift the logits, so that every class occurs."""
    noise = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4), (24, 32), mode="bilinear")
    with torch.no_grad():
        module.train()
        for _ in range(20):
            module(noise)
        module.eval()
        module.classify.bias -= module(noise).logits.mean(dim=(0, 2, 3))
