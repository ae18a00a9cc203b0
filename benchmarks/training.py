"""A plain supervised training loop that stops and resumes without changing its result.

Every random draw is a function of (seed, step, place in the batch), so a resumed run needs no
record of generator states beside torch's own, and ends with the weights of an undisturbed run
(same machine, same number of threads).
"""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor
from torch.nn import functional as F

from benchmarks.augmentation import IGNORE_LABEL, AugmentationConfig, Image, Label, augment
from models.segmentation.compact import CompactSegmenter

__all__ = ["AugmentationConfig", "LabelledImages", "train_segmenter"]

_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 0.02
_CLIP_NORM = 5.0


class LabelledImages(Protocol):
    """Anything indexable that gives (image uint8 [H, W, 3] RGB, label uint8 [H, W])."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image, Label]: ...


def train_segmenter(
    dataset: LabelledImages | Sequence[tuple[Image, Label]],
    ontology_num_classes: int,
    *,
    steps: int,
    seed: int,
    crop_hw: tuple[int, int],
    batch_size: int,
    checkpoint: Path | None,
    augmentation: AugmentationConfig,
    progress: bool = True,
    initial: CompactSegmenter | None = None,
    class_weights: Sequence[float] | None = None,
    learning_rate: float = 2e-3,
    checkpoint_every_steps: int = 100,
) -> CompactSegmenter:
    """Train a `CompactSegmenter` with cross entropy (255 is ignored).

    Args:
        dataset: labelled images; sizes may differ from image to image.
        ontology_num_classes: K; labels are 0..K-1 or 255.
        steps: optimizer steps in all, those before a resume included.
        seed: seed of the initial weights, the order and the augmentation.
        crop_hw: size of the training crops.
        batch_size: images in one step.
        checkpoint: file to save to and, if it exists, to resume from; None for neither.
        augmentation: ranges of the augmentation, drawn for each image on its own.
        progress: show a bar with rate and time left.
        initial: a network of this K to go on from, left as it is; None starts from scratch.
        class_weights: K weights of the loss, for rare classes; None weighs all pixels alike.
        learning_rate: peak of the warm-up and cosine schedule (AdamW).
        checkpoint_every_steps: steps between two checkpoints; the last step is always saved.

    Returns:
        The trained network in `eval` mode, on the CPU.

    Raises:
        ValueError: the dataset is empty, or the checkpoint belongs to a run with other settings.
    """
    if len(dataset) == 0:
        raise ValueError("the training set has no images")
    settings: dict[str, Any] = {
        "num_classes": ontology_num_classes,
        "steps": steps,
        "seed": seed,
        "crop_hw": list(crop_hw),
        "batch_size": batch_size,
        "augmentation": repr(augmentation),
        "class_weights": None if class_weights is None else [float(w) for w in class_weights],
        "learning_rate": learning_rate,
        "images": len(dataset),
    }
    torch.manual_seed(seed)
    model = CompactSegmenter(ontology_num_classes)
    if initial is not None:
        model.load_state_dict(initial.state_dict())
        settings["initial"] = _digest(initial)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY)
    weights = None if class_weights is None else torch.tensor(class_weights).float()
    first_step = _resume(checkpoint, settings, model, optimizer)
    model.train()
    with training_bar(progress, "steps") as bar:
        task = bar.add_task("train", total=steps, completed=first_step, loss=math.nan, rate=0.0)
        for step in range(first_step, steps):
            images, labels = _batch(dataset, step, seed, batch_size, crop_hw, augmentation)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * schedule(step, steps)
            loss = _loss(model(images).logits, labels, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
            optimizer.step()
            _advance(bar, task, float(loss.detach()), step + 1 - first_step)
            last = step + 1 == steps
            if checkpoint is not None and (last or (step + 1) % checkpoint_every_steps == 0):
                _save(checkpoint, settings, model, optimizer, step + 1)
    return model.eval()


def schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then half a cosine to zero."""
    warm_up = max(1, round(steps * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _loss(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    full = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(
        full, labels, weight=weights, ignore_index=IGNORE_LABEL, reduction="sum"
    )
    # A batch may be all ignore; dividing by its zero pixels would put NaN into every weight.
    return total / (labels != IGNORE_LABEL).sum().clamp(min=1)


def _digest(model: CompactSegmenter) -> str:
    content = hashlib.sha256()
    for name, value in model.state_dict().items():
        content.update(name.encode())
        content.update(value.numpy().tobytes())
    return content.hexdigest()


def _batch(
    dataset: LabelledImages | Sequence[tuple[Image, Label]],
    step: int,
    seed: int,
    batch_size: int,
    crop_hw: tuple[int, int],
    augmentation: AugmentationConfig,
) -> tuple[Tensor, Tensor]:
    images, labels = [], []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(position, len(dataset))
        # One permutation an epoch, rebuilt from its seed: nothing to store for a resume.
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(dataset))
        image, label = dataset[int(order[place])]
        rng = np.random.default_rng([seed, 2, position])
        image, label = augment(image, label, crop_hw, augmentation, rng)
        images.append(torch.from_numpy(image))
        labels.append(torch.from_numpy(label))
    # [B, H, W, 3] seen as [B, 3, H, W] is the channels-last layout already.
    pixels = torch.stack(images).permute(0, 3, 1, 2).float().div_(255)
    return pixels, torch.stack(labels).long()


def _save(
    path: Path,
    settings: dict[str, Any],
    model: CompactSegmenter,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    state = {
        "settings": settings,
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "torch_rng": torch.get_rng_state(),
    }
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path | None,
    settings: dict[str, Any],
    model: CompactSegmenter,
    optimizer: torch.optim.Optimizer,
) -> int:
    if path is None or not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != settings:
        raise ValueError(
            f"{path} was written by a run with other settings "
            f"({state['settings']}, now {settings}); remove it or name another file"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["torch_rng"])
    return int(state["step"])


def training_bar(shown: bool, unit: str) -> Progress:
    """A bar with loss, rate in `unit` a second, and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.1f} " + unit + "/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        disable=not shown,
    )


def _advance(bar: Progress, task: Any, loss: float, done: int) -> None:
    elapsed = bar.tasks[0].elapsed or 0.0
    bar.update(task, advance=1, loss=loss, rate=done / elapsed if elapsed else 0.0)
