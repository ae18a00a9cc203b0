"""Re-estimated normalisation: the batch statistics of a network, taken anew on another domain.

The running mean and variance of every BatchNorm layer are replaced by their average over batches of
unlabelled images; the weights stay as they are. Source: Li et al., "Revisiting Batch Normalization
For Practical Domain Adaptation" (2016), with the cumulative average of `torch.nn.BatchNorm2d`
(`momentum=None`) in place of theirs.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.errors import ModelRefused, OutOfMemory
from models.memory import or_none_if_out_of_memory
from models.prediction import to_tensor
from models.segmentation.base import ModuleModel, SegmentationModel, batch_norms
from models.segmentation.sliding_window import WindowGrid

MAX_BATCH_SIZE = 8
MAX_BATCH_PIXELS = 1 << 22
WINDOW_PX = 1024

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Reestimation:
    """The answer of `reestimate_batch_statistics`.

    Attributes:
        model: the new model, or the given one if nothing changed.
        changed: whether any statistics were replaced.
        note: one sentence for people.
        images, batches: how many were looked at.
    """

    model: SegmentationModel
    changed: bool
    note: str
    images: int
    batches: int


def reestimate_batch_statistics(
    model: SegmentationModel, images: Iterable[RgbImage]
) -> Reestimation:
    """A copy of the model whose BatchNorm statistics are those of `images`.

    Images are read one at a time, in the order given, which the result depends on. Neighbours of
    one shape form a batch, of up to 8 images and 4 megapixels; an image with a side above 1024 px
    is cut into windows that do not overlap. Every batch counts the same. All other layers stay in
    evaluation mode. A layer that sees one value per channel (the pooled map of a lone image) uses
    the old statistics for that batch, and keeps them if it never sees more.

    Args:
        images: uint8 (H, W, 3) RGB, upright.

    Raises:
        ModelRefused: `model-is-exported`, if the weights of the model are not at hand.
        OutOfMemory: if a single window does not fit.
    """
    if getattr(model, "module", None) is None:
        raise ModelRefused(
            "model-is-exported",
            "The statistics of an exported program cannot be changed.",
            "Use the model as a bundle or as a Hugging Face folder.",
        )
    if not model.has_batch_statistics:
        note = "The network has no batch statistics, so there is nothing to re-estimate."
        return Reestimation(model, False, note, images=0, batches=0)
    adapted = cast(ModuleModel, copy.deepcopy(model))
    layers = batch_norms(adapted.module)
    before = [_state(layer) for layer in layers]
    count = _Count()
    with _CumulativeAverage(layers):
        for batch in _batches(count.read(images)):
            count.batches += _run(adapted, layers, batch)
    unseen = _restore_unseen(layers, before)
    changed = unseen < len(layers)
    if changed:
        note = f"Re-estimated {len(layers) - unseen} of {len(layers)} layers on {count.images} "
        note += "images." if count.images != 1 else "image."
    else:
        note = "No layer saw more than one value per channel; the statistics stay as they were."
    return Reestimation(
        adapted if changed else model, changed, note, images=count.images, batches=count.batches
    )


def save_model(model: SegmentationModel, folder: Path) -> None:
    """Writes a bundle or a Hugging Face folder again, with the model's weights as they are now.

    Raises:
        ModelRefused: `model-is-exported`, for programs, which cannot be written from here.
    """
    save = getattr(model, "save", None)
    if save is None:
        raise ModelRefused(
            "model-is-exported",
            "An exported program cannot be written again.",
            "Copy its folder instead.",
        )
    save(folder)


class _Count:
    """What has been looked at."""

    def __init__(self) -> None:
        self.images = 0
        self.batches = 0

    def read(self, images: Iterable[RgbImage]) -> Iterator[RgbImage]:
        for image in images:
            self.images += 1
            yield image


class _CumulativeAverage:
    """While entered, the layers collect the plain average of the statistics of their batches."""

    def __init__(self, layers: list[_BatchNorm]) -> None:
        self._layers = layers
        self._momenta = [layer.momentum for layer in layers]
        self._hooks: list[Any] = []

    def __enter__(self) -> None:
        for layer in self._layers:
            layer.reset_running_stats()
            layer.momentum = None
            self._hooks.append(layer.register_forward_pre_hook(_train_if_possible))

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        for layer, momentum in zip(self._layers, self._momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def _train_if_possible(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    # torch raises an error in training mode if a channel has one value only.
    layer.train(inputs[0].numel() > inputs[0].shape[1])


def _batches(images: Iterable[RgbImage]) -> Iterator[list[RgbImage]]:
    windows = (window for image in images for window in _windows(image))
    for shape, alike in groupby(windows, key=lambda window: window.shape):
        most = max(1, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // (shape[0] * shape[1])))
        batch: list[RgbImage] = []
        for window in alike:
            batch.append(window)
            if len(batch) == most:
                yield batch
                batch = []
        if batch:
            yield batch


def _windows(image: RgbImage) -> Iterator[RgbImage]:
    grid = WindowGrid.plan((image.shape[0], image.shape[1]), WINDOW_PX, overlap=0)
    height, width = grid.window_hw
    for window in grid:
        yield image[window.y : window.y + height, window.x : window.x + width]


def _run(model: SegmentationModel, layers: list[_BatchNorm], batch: list[RgbImage]) -> int:
    """Runs a batch, in halves if memory runs out; returns into how many batches it was split."""
    before = [_state(layer) for layer in layers]
    if or_none_if_out_of_memory(partial(_forward, model, batch)):
        return 1
    # Some layers have counted the batch before memory ran out.
    for layer, state in zip(layers, before, strict=True):
        layer.load_state_dict(state)
    if len(batch) == 1:
        raise OutOfMemory(max(batch[0].shape[:2]))
    half = len(batch) // 2
    return _run(model, layers, batch[:half]) + _run(model, layers, batch[half:])


def _forward(model: SegmentationModel, batch: list[RgbImage]) -> bool:
    with torch.no_grad():
        model.forward(to_tensor(batch, model.device))
    return True


def _state(layer: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in layer.state_dict().items()}


def _restore_unseen(layers: list[_BatchNorm], before: list[dict[str, Tensor]]) -> int:
    unseen = 0
    for layer, state in zip(layers, before, strict=True):
        if not int(cast(Tensor, layer.num_batches_tracked)):
            layer.load_state_dict(state)
            unseen += 1
    return unseen
