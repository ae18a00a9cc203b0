"""Rare-class sampling: images that hold a rare class are drawn more often.

Source: Hoyer et al., "DAFormer" (CVPR 2022), equation 10: P(c) ∝ exp((1 - f_c) / T), with f_c the
share of class c of all labelled pixels; then an image that holds c, each with the same chance.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.ontology import IGNORE_LABEL

_LEAST_PIXELS = 16


class Labelled(Protocol):
    """Anything with a label."""

    @property
    def label(self) -> npt.NDArray[np.uint8]: ...


def class_pixels(samples: Iterable[Labelled], num_classes: int) -> npt.NDArray[np.int64]:
    """Pixels of each class in each label (H, W), int64 (N, K); 255 is not counted."""
    counts = [
        np.bincount(sample.label.ravel(), minlength=IGNORE_LABEL + 1)[:num_classes]
        for sample in samples
    ]
    return np.array(counts, np.int64).reshape(-1, num_classes)


class RareClassSampler:
    """Draws (image, class); the class is None where all images are alike to it.

    Args:
        pixels: of `class_pixels`.
        temperature: T; 0 draws all images with the same chance and no class.
    """

    def __init__(self, pixels: npt.NDArray[np.int64], temperature: float) -> None:
        self._images = len(pixels)
        self._holders = [np.flatnonzero(column >= _LEAST_PIXELS) for column in pixels.T]
        self.classes = np.array([c for c, held in enumerate(self._holders) if len(held)], np.int64)
        self.probabilities = _probabilities(pixels, self.classes, temperature)

    def draw(self, rng: np.random.Generator) -> tuple[int, int | None]:
        """Number of an image, and the class for which it was drawn."""
        if not len(self.probabilities):
            return int(rng.integers(self._images)), None
        wanted = int(rng.choice(self.classes, p=self.probabilities))
        return int(rng.choice(self._holders[wanted])), wanted


def _probabilities(
    pixels: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], temperature: float
) -> npt.NDArray[np.float64]:
    if temperature == 0 or not len(classes):
        return np.zeros(0)
    share = pixels.sum(axis=0)[classes] / pixels.sum()
    exponent = (1 - share) / temperature
    chance = np.exp(exponent - exponent.max())
    return np.asarray(chance / chance.sum(), np.float64)
