"""A small run of self-training with the demo model and generated scenes."""

from typing import Any, Final

import numpy as np
import torch

from models.adaptation.batches import BatchSource
from models.adaptation.config import Augmentation, Recipe
from models.adaptation.data import SourceSample, TargetSample
from models.adaptation.rare_classes import class_pixels
from models.adaptation.registry import TERM_KINDS
from models.ontology import IGNORE_LABEL
from models.rle import Rle
from tests.gpu.device import demo_model, scene

IMAGES: Final = 6
SIZE_HW: Final = (120, 160)
SETTINGS: Final = {"rmm": {"points": 256}, "prototypes": {"patches": 64}}
RECIPE: Final = Recipe(
    crop_hw=(96, 128),
    batch_size=2,
    statistics_images=4,
    checkpoint_every_steps=2,
    augmentation=Augmentation(gamma=(0.8, 1.25), gain=(0.8, 1.2), noise=0.02),
    terms={name: SETTINGS.get(name, {}) for name in TERM_KINDS},
)


def source_samples() -> list[SourceSample]:
    """Labelled day scenes."""
    scenes = [scene(seed, "day", SIZE_HW) for seed in range(IMAGES)]
    return [SourceSample(f"s{i}", one.image, one.label) for i, one in enumerate(scenes)]


def target_samples() -> list[TargetSample]:
    """Night scenes with true labels of which some pixels are dropped, and with regions."""
    found = []
    for number in range(IMAGES):
        one = scene(100 + number, "night", SIZE_HW)
        dropped = np.random.default_rng(number).random(SIZE_HW) > 0.7
        found.append(
            TargetSample(
                f"t{number}",
                one.image,
                np.where(dropped, np.uint8(IGNORE_LABEL), one.label),
                np.where(dropped, 0, 230).astype(np.uint8),
                regions={"regions": _regions(one.label)},
            )
        )
    return found


def batches(device: torch.device) -> BatchSource:
    """The batches of a run, drawn on the CPU and moved to a device."""
    source = source_samples()
    donors = class_pixels(source, demo_model(device).ontology.num_classes)
    return BatchSource(source, target_samples(), RECIPE, donors, 0, device)


def _regions(label: np.ndarray) -> list[dict[str, Any]]:
    """The classes of a label as regions, every other one rejected."""
    found = []
    for class_id in np.unique(label).tolist():
        rle = Rle.encode(label == class_id)
        x0, y0, x1, y1 = rle.box_xyxy()
        found.append(
            {
                "segmentation": rle.to_coco(),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": rle.area_px,
                "class_before": class_id,
                "class_after": class_id,
                "decision": "rejected" if class_id % 3 == 2 else "kept",
            }
        )
    return found
