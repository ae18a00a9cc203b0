"""The source model: trained on the labels of `source/` once, then found again by its inputs."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks.quality.folders import LabelledFolder
from benchmarks.training import AugmentationConfig, train_segmenter
from models.bundle import write_bundle

# Raise when the trainer or the network changes so that old cached models must not be used.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Budget:
    """How long to train: 5, 25 and 90 minutes on one thread of a 2024 server core."""

    steps: int
    batch_size: int = 4
    crop_hw: tuple[int, int] = (256, 320)


BUDGETS = {
    "small": Budget(steps=700),
    "medium": Budget(steps=3600),
    "full": Budget(steps=13000),
}

# Wide in brightness, since the domains here differ in light above all. Chosen, as the class weights
# are, on `source_val` under generated changes of light, weather and sensor.
AUGMENTATION = AugmentationConfig(brightness=0.25, channel_gain=0.2, gamma=0.7)
MAX_CLASS_WEIGHT = 4.0


def class_weights(source: LabelledFolder) -> list[float]:
    """Weights of the loss: the root of (median class size / class size), at most 4.

    The root of median frequency balancing (Eigen and Fergus 2015), which alone would make thin
    classes swallow their surroundings. A class without pixels has weight 1.
    """
    pixels = np.zeros(256, dtype=np.int64)
    for index in track(range(len(source)), description="count classes"):
        pixels += np.bincount(source.label(index).ravel(), minlength=256)
    sizes = pixels[: len(source.classes.names)]
    median = np.median(sizes[sizes > 0])
    weights = np.sqrt(median / np.maximum(sizes, 1))
    return [
        float(min(weight, MAX_CLASS_WEIGHT)) if size else 1.0
        for weight, size in zip(weights, sizes, strict=True)
    ]


def source_model_bundle(
    source: LabelledFolder,
    budget: Budget,
    *,
    seed: int,
    cache: Path,
    progress: bool = True,
) -> Path:
    """Folder of a bundle trained on `source`; a second call with the same inputs trains nothing.

    Args:
        source: images and labels to train on.
        budget: length of the training.
        seed: seed of weights, order and augmentation.
        cache: folder of finished bundles and checkpoints; an interrupted training resumes there.
        progress: show a bar with rate and time left.
    """
    inputs: dict[str, Any] = {
        "recipe_version": RECIPE_VERSION,
        "source_digest": source.digest(),
        "classes": list(source.classes.names),
        "budget": asdict(budget),
        "augmentation": asdict(AUGMENTATION),
        "max_class_weight": MAX_CLASS_WEIGHT,
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"source-{key}"
    if folder.exists():
        return folder
    checkpoint = cache / f"source-{key}.ckpt"
    model = train_segmenter(
        source,
        len(source.classes.names),
        steps=budget.steps,
        seed=seed,
        crop_hw=budget.crop_hw,
        batch_size=budget.batch_size,
        checkpoint=checkpoint,
        augmentation=AUGMENTATION,
        progress=progress,
        class_weights=class_weights(source),
    )
    unfinished = cache / f"source-{key}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    inputs["torch"] = torch.__version__
    write_bundle(unfinished, model, source.classes.ontology, provenance=inputs)
    unfinished.rename(folder)
    checkpoint.unlink()
    return folder
