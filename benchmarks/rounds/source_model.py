"""The model that all rows start from: trained once on the source, then found again."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.rounds.budgets import Budget
from benchmarks.rounds.data import RoundsData
from benchmarks.rounds.supervised import train_supervised
from models.adaptation.config import Recipe
from models.bundle import read_bundle, write_bundle
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter

LEARNING_RATE = 3e-3
_IMAGES_IN_A_STEP = 8


def source_model(
    data: RoundsData, budget: Budget, seed: int, cache: Path, device: torch.device
) -> BundledSegmenter:
    """The source model; a second call with the same source, sizes and seed trains nothing."""
    recipe = Recipe(crop_hw=budget.source_crop_hw)
    inputs = {
        "source": hashlib.sha256(
            data.source.images.tobytes() + data.source.labels.tobytes()
        ).hexdigest(),
        "classes": [info.name for info in data.ontology.classes],
        "width": budget.width,
        "steps": budget.source_steps,
        "images_in_a_step": _IMAGES_IN_A_STEP,
        "learning_rate": LEARNING_RATE,
        "crop_hw": list(budget.source_crop_hw),
        "augmentation": asdict(recipe.augmentation),
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"source-{key}"
    if not folder.exists():
        torch.manual_seed(seed)
        network = train_supervised(
            CompactSegmenter(data.ontology.num_classes, width=budget.width).to(device),
            data.source, recipe, budget.source_steps, seed, _IMAGES_IN_A_STEP, LEARNING_RATE,
        )  # fmt: skip
        unfinished = cache / f"source-{key}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        write_bundle(unfinished, network.cpu(), data.ontology, inputs)
        unfinished.rename(folder)
    return BundledSegmenter(read_bundle(folder), device)
