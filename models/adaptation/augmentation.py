"""Augmentation, drawn for every image on its own: weak (zoom, crop, flip), then strong (colour).

One draw for a whole batch would shift all its images together, and batch statistics would be those
of batches that no single image resembles.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.adaptation.config import Augmentation
from models.adaptation.data import LabelMap, RgbImage
from models.adaptation.randomness import keyed_generator, keyed_rng
from models.ontology import IGNORE_LABEL

_TRIES = 5


@dataclass(frozen=True, eq=False)
class Views:
    """An image and its maps after weak augmentation.

    Attributes:
        image: uint8 (crop_h, crop_w, 3).
        label: uint8 (crop_h, crop_w), 255 beyond the image.
        confidence: uint8 (crop_h, crop_w), 0 beyond the image.
    """

    image: RgbImage
    label: LabelMap
    confidence: LabelMap


@dataclass(frozen=True)
class _Cut:
    """Where a crop lies in an image, before it is resized; may reach beyond it."""

    top: int
    left: int
    height: int
    width: int


def weakly_augmented(
    image: RgbImage,
    label: LabelMap,
    confidence: LabelMap,
    crop_hw: tuple[int, int],
    config: Augmentation,
    rng: np.random.Generator,
    wanted_class: int | None = None,
) -> Views:
    """A zoomed, cropped and perhaps mirrored copy of an image and its maps.

    Args:
        image: uint8 (H, W, 3); not changed.
        label: uint8 (H, W).
        confidence: uint8 (H, W).
        crop_hw: size of the result.
        config: ranges.
        rng: of this one draw.
        wanted_class: of a few crops the one with most of this class is taken.
    """
    cut = _draw_cut(label.shape, crop_hw, config, rng)
    if wanted_class is not None:
        cuts = [cut, *(_draw_cut(label.shape, crop_hw, config, rng) for _ in range(_TRIES - 1))]
        cut = max(cuts, key=lambda c: np.count_nonzero(_inside(label, c) == wanted_class))
    mirrored = rng.random() < config.flip
    size_wh = (crop_hw[1], crop_hw[0])
    smooth = cv2.INTER_AREA if cut.height > crop_hw[0] else cv2.INTER_LINEAR
    pixels = cv2.resize(_cropped(image, cut, None), size_wh, interpolation=smooth)
    maps = [
        cv2.resize(_cropped(values, cut, beyond), size_wh, interpolation=cv2.INTER_NEAREST)
        for values, beyond in ((label, IGNORE_LABEL), (confidence, 0))
    ]
    done = [np.ascontiguousarray(v[:, ::-1] if mirrored else v, np.uint8) for v in (pixels, *maps)]
    return Views(*done)


def strongly_augmented(
    images: Tensor,
    config: Augmentation,
    seed: int,
    purpose: str,
    step: int,
    places: tuple[int, ...],
) -> Tensor:
    """Images under another light and with noise, float32 [B, 3, H, W] in [0, 1].

    x ↦ gain · channel gain · x^gamma + noise, each drawn for each image.

    Args:
        images: float32 [B, 3, H, W] in [0, 1]; not changed.
        config: ranges.
        seed, step: of the run.
        purpose: of the draw; source and target are drawn apart.
        places: number of each image in the step.
    """
    return torch.stack(
        [
            _recoloured(image, config, seed, purpose, step, place)
            for image, place in zip(images, places, strict=True)
        ]
    )


def _recoloured(
    image: Tensor, config: Augmentation, seed: int, purpose: str, step: int, place: int
) -> Tensor:
    rng = keyed_rng(seed, purpose, step, place)
    gamma = _between(config.gamma, rng)
    gains = _between(config.gain, rng) * rng.uniform(*config.channel_gain, 3)
    sigma = rng.uniform(0, config.noise)
    values = image.pow(gamma) * torch.from_numpy(gains).to(image)[:, None, None]
    if sigma:
        generator = keyed_generator(seed, purpose + "-noise", step, place)
        # Drawn on the CPU, so that a GPU sees the same noise.
        values = values + sigma * torch.randn(image.shape, generator=generator).to(image)
    return values.clamp(0, 1)


def _between(ends: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def _draw_cut(
    shape: tuple[int, ...], crop_hw: tuple[int, int], config: Augmentation, rng: np.random.Generator
) -> _Cut:
    scale = _between(config.scale, rng)
    # Cut first and resize after: only the pixels of the crop are ever resampled.
    height, width = (max(1, round(side / scale)) for side in crop_hw)
    top = int(rng.integers(min(0, shape[0] - height), max(0, shape[0] - height) + 1))
    left = int(rng.integers(min(0, shape[1] - width), max(0, shape[1] - width) + 1))
    return _Cut(top, left, height, width)


def _inside(values: npt.NDArray[np.uint8], cut: _Cut) -> npt.NDArray[np.uint8]:
    rows = slice(max(0, cut.top), max(0, cut.top + cut.height))
    return values[rows, max(0, cut.left) : max(0, cut.left + cut.width)]


def _cropped(values: npt.NDArray[np.uint8], cut: _Cut, beyond: int | None) -> npt.NDArray[np.uint8]:
    """The crop; outside the image is `beyond`, or the pixel at the edge if None."""
    inside = _inside(values, cut)
    if inside.shape[:2] == (cut.height, cut.width):
        return inside
    above, before = max(0, -cut.top), max(0, -cut.left)
    border = [
        (above, cut.height - inside.shape[0] - above),
        (before, cut.width - inside.shape[1] - before),
    ]
    border += [(0, 0)] * (values.ndim - 2)
    if beyond is None:
        return np.pad(inside, border, mode="edge")
    return np.pad(inside, border, constant_values=beyond)
