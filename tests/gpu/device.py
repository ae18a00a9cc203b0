"""The device that these tests compare with the CPU, and what they share.

The folder needs only what `models` needs, so it runs where the service is not installed:
`python -m pytest --noconftest tests/gpu`. `SELVAGE_TEST_DEVICE=cpu` tries the tests themselves on a
machine without a GPU.
"""

import os
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch

from benchmarks.scenes import Scene, generate_scene
from models.label_maps import LabelMaps
from models.prediction import RgbImage
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.loading import load_model

DEVICE: Final = torch.device(os.environ.get("SELVAGE_TEST_DEVICE", "cuda"))
CPU: Final = torch.device("cpu")
# As label workers have it.
torch.backends.cudnn.allow_tf32 = False
REPOSITORY: Final = Path(__file__).parents[2]
DEMO_MODEL: Final = REPOSITORY / "examples" / "demo_model"

MARKS: Final = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="torch sees no GPU"
    ),
]
CUDA_ALONE: Final = pytest.mark.skipif(
    DEVICE.type != "cuda", reason="only a GPU has memory that a test can fill"
)


def demo_model(device: torch.device) -> BundledSegmenter:
    """The model of the demo, freshly loaded."""
    model = load_model(DEMO_MODEL, str(device))
    assert isinstance(model, BundledSegmenter)
    return model


@cache
def scene(seed: int, style: str = "night", size_hw: tuple[int, int] = (240, 320)) -> Scene:
    """A generated scene, one object for each set of arguments."""
    return generate_scene(style, seed, size_hw)


def three_images() -> list[RgbImage]:
    """Scenes of three styles."""
    return [scene(seed, style).image for seed, style in enumerate(("night", "fog", "rain"))]


def equal_fraction(one: list[LabelMaps], other: list[LabelMaps]) -> float:
    """Share of the pixels of all images whose label is the same."""
    return float(np.mean([(a.label == b.label).mean() for a, b in zip(one, other, strict=True)]))


def confidence_difference(one: list[LabelMaps], other: list[LabelMaps]) -> float:
    """Mean absolute difference of the confidences, from 0 to 1."""
    pairs = zip(one, other, strict=True)
    return float(
        np.mean([np.abs(a.confidence.astype(float) - b.confidence).mean() for a, b in pairs]) / 255
    )
