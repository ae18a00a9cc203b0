"""Regions of separable classes, some with wrong labels, without any image."""

from dataclasses import dataclass

import numpy as np

from models.connectivity.regions import Regions
from models.connectivity.sample import Sample, merge_parts, sample_of
from models.rle import Rle

CLASSES = 4
WIDTH = 12
IMAGES = 60


@dataclass(frozen=True)
class Toy:
    """Features float16 (N, 12), true and given classes, which were flipped, image of each."""

    vectors: np.ndarray
    true: np.ndarray
    given: np.ndarray
    flipped: np.ndarray
    images: np.ndarray

    @property
    def features(self) -> dict[str, np.ndarray]:
        return {"appearance": self.vectors}

    def sample(self, seed: int = 0) -> Sample:
        parts = [
            sample_of(self.regions(image), f"image {image}", seed)
            for image in np.unique(self.images)
        ]
        merged = merge_parts(parts)
        assert merged is not None
        return merged

    def regions(self, image: int) -> Regions:
        rows = self.images == image
        return regions_of_vectors({"appearance": self.vectors[rows]}, self.given[rows])


def toy(count: int = 1200, noise: float = 0.3, distance: float = 1.5, seed: int = 0) -> Toy:
    """Regions whose classes lie apart, a share of which were given another class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(0, distance, (CLASSES, WIDTH))
    true = rng.integers(0, CLASSES, count)
    vectors = (centres[true] + rng.normal(0, 1, (count, WIDTH))).astype(np.float16)
    flipped = rng.random(count) < noise
    shifts = rng.integers(1, CLASSES, count) * flipped
    given = ((true + shifts) % CLASSES).astype(np.uint8)
    return Toy(vectors, true.astype(np.uint8), given, flipped, rng.integers(0, IMAGES, count))


def regions_of_vectors(
    features: dict[str, np.ndarray],
    classes: np.ndarray,
    num_classes: int = CLASSES,
    vote_share: float = 1.0,
    confidence: float = 0.9,
) -> Regions:
    """N regions of one pixel each, with these features and classes."""
    count = len(classes)
    votes = np.full((count, num_classes), (1 - vote_share) / max(num_classes - 1, 1), np.float32)
    votes[np.arange(count), classes] = vote_share
    masks = [np.arange(max(count, 1))[None] == i for i in range(count)]
    return Regions(
        size_hw=(1, max(count, 1)),
        rles=[Rle.encode(mask) for mask in masks],
        boxes_xyxy=np.array([[i, 0, i + 1, 1] for i in range(count)], np.int32).reshape(-1, 4),
        areas_px=np.ones(count, np.int64),
        classes=classes.astype(np.uint8),
        votes=votes,
        quality=np.ones(count, np.float32),
        confidence=np.full(count, confidence, np.float32),
        features=features,
    )
