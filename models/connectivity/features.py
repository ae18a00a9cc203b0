"""Features of regions in named groups, pooled in one pass over the image.

    segmenter     mean of the segmenter's feature map
    region_model  mean of the region model's embedding
    appearance    colour, texture, shape, place, contrast, classes around; see `appearance`
    votes         what the pixels say of their class; see `votes_features`

A feature map is placed by nearest cell: a pixel has the features of the cell that its centre lies
in, so the mean over a region depends on no cell beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.connectivity.appearance import appearance_features
from models.connectivity.config import FEATURE_GROUPS
from models.connectivity.regions import Regions
from models.ontology import IGNORE_LABEL
from models.promptable.base import Embedding

Components = npt.NDArray[np.int32]
Floats = npt.NDArray[np.floating[Any]]

_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class FeatureMap:
    """Features [C, h, w] that span `covers_hw_px` image pixels from the top left corner."""

    features: Tensor
    covers_hw_px: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Pixels:
    """What is known of the pixels of one image of H x W.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        kept: class of the pixels that were kept, uint8 (H, W), 255 elsewhere.
        weight: confidence of each pixel, float32 (H, W).
        p_max: probability of the predicted class, float32 (H, W).
        probabilities: of the classes, [K, h, w], at any resolution; None if they are not at hand.
        segmenter: feature map of the segmenter, or None.
        embedding: the image as the region model has encoded it, or None.
    """

    image: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.float32]
    p_max: npt.NDArray[np.float32]
    probabilities: FeatureMap | None = None
    segmenter: FeatureMap | None = None
    embedding: Embedding | None = None


def region_features(
    components: Components,
    classes: npt.NDArray[np.uint8],
    num_classes: int,
    pixels: Pixels,
    quality: npt.NDArray[np.float32],
    groups: Sequence[str] = FEATURE_GROUPS,
) -> dict[str, npt.NDArray[np.float16]]:
    """{group: float16 (N, D)} of the regions 1..N of a component map.

    Groups whose source is missing are left out. The widths depend on the sources and on K alone.

    Args:
        components: int32 (H, W), 0 where no region is.
        classes: the class given to each region, uint8 (N,).
        num_classes: K.
        pixels: what is known of the pixels.
        quality: the region model's estimate for each region, float32 (N,).
        groups: which are wanted.

    Raises:
        ValueError: a group is not finite; the message names it.
    """
    count = len(classes)
    found: dict[str, Floats] = {}
    if "segmenter" in groups and pixels.segmenter is not None:
        found["segmenter"] = _mean(components, count, pixels.segmenter)
    embedding = pixels.embedding
    if "region_model" in groups and embedding is not None and embedding.features is not None:
        feature_map = FeatureMap(embedding.features, embedding.covers_hw_px)
        found["region_model"] = _mean(components, count, feature_map)
    if "appearance" in groups:
        found["appearance"] = appearance_features(components, classes, num_classes, pixels.image)
    if "votes" in groups:
        found["votes"] = votes_features(components, classes, num_classes, pixels, quality)
    return {name: _stored(name, values) for name, values in found.items()}


def votes_features(
    components: Components,
    classes: npt.NDArray[np.uint8],
    num_classes: int,
    pixels: Pixels,
    quality: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """What the pixels say of their class, float64 (N, 2 K + 5).

    K shares of the votes; K mean probabilities, 0 without them; then the share of kept pixels, the
    share of the votes for the class given, mean p_max, mean probability of the class given, and
    the quality of the mask.
    """
    count = len(classes)
    areas = np.maximum(region_sums(components, count), 1)
    votes = votes_of(components, count, num_classes, pixels.kept, pixels.weight)
    shares = votes / np.maximum(votes.sum(1, keepdims=True), 1e-12)
    means = np.zeros((count, num_classes))
    if pixels.probabilities is not None:
        means = _mean(components, count, pixels.probabilities)
    given = classes[:, None].astype(np.int64)
    scalars = [
        region_sums(components, count, pixels.kept != IGNORE_LABEL) / areas,
        np.take_along_axis(shares, given, 1)[:, 0],
        region_sums(components, count, pixels.p_max) / areas,
        np.take_along_axis(means, given, 1)[:, 0],
        quality,
    ]
    return np.concatenate([shares, means, np.stack(scalars, 1)], axis=1)


def mean_probabilities(regions: Regions) -> npt.NDArray[np.float64] | None:
    """The segmenter's mean class probabilities over each region, (N, K); None if not pooled."""
    votes = regions.features.get("votes")
    num_classes = regions.votes.shape[1]
    if votes is None or votes.shape[1] < 2 * num_classes:
        return None
    means = votes[:, num_classes : 2 * num_classes].astype(np.float64)
    return means if means.any() else None


def label_free_columns(num_classes: int) -> int:
    """The first column of `votes` from which the class given cannot be read off."""
    return 2 * num_classes


def votes_of(
    components: Components,
    count: int,
    num_classes: int,
    kept: npt.NDArray[np.uint8],
    weight: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Sum of the weights of the kept pixels of each region by their class, float64 (N, K)."""
    here = (components > 0) & (kept != IGNORE_LABEL)
    cells = (components[here].astype(np.int64) - 1) * num_classes + kept[here]
    sums = np.bincount(cells, weights=weight[here], minlength=count * num_classes)
    return sums.reshape(count, num_classes).astype(np.float64, copy=False)


def region_sums(
    components: Components, count: int, values: npt.NDArray[Any] | None = None
) -> npt.NDArray[np.float64]:
    """Sum of values (H, W) over each region, or its pixels without values, float64 (N,)."""
    weights = None if values is None else values.ravel()
    sums = np.bincount(components.ravel(), weights=weights, minlength=count + 1)
    return sums[1:].astype(np.float64)


def mean_over_regions(components: Components, count: int, feature_map: FeatureMap) -> Tensor:
    """Mean of a feature map over the pixels of each region, float [N, C], on the map's device.

    SeCo's masked average pooling (equation 2); gradients flow through it.
    """
    features = feature_map.features
    cells, regions, pixels = _cells_of_regions(
        components, (features.shape[1], features.shape[2]), feature_map.covers_hw_px
    )
    areas = np.bincount(regions, weights=pixels, minlength=count)
    shares = torch.from_numpy(pixels / areas[regions]).to(features.device, features.dtype)
    picked = features.flatten(1).T[torch.from_numpy(cells).to(features.device)]
    pooled = features.new_zeros(count, features.shape[0])
    where = torch.from_numpy(regions).to(features.device)
    return pooled.index_add(0, where, picked * shares[:, None])


def _cells_of_regions(
    components: Components, cells_hw: tuple[int, int], covers_hw_px: tuple[float, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs (cell, region from 0, number of pixels) that occur, by region and then cell."""
    height, width = components.shape
    rows = _cell_of_pixel(height, cells_hw[0], covers_hw_px[0])
    columns = _cell_of_pixel(width, cells_hw[1], covers_hw_px[1])
    # Runs along rows within one cell and one region, so that pairs are sorted and not pixels.
    changes = np.ones((height, width), dtype=bool)
    changes[:, 1:] = (components[:, 1:] != components[:, :-1]) | (columns[1:] != columns[:-1])
    starts = np.flatnonzero(changes)
    lengths = np.diff(starts, append=components.size)
    regions = components.ravel()[starts].astype(np.int64) - 1
    cells = rows[starts // width] * cells_hw[1] + columns[starts % width]
    inside = regions >= 0
    total = cells_hw[0] * cells_hw[1]
    pairs, inverse = np.unique(regions[inside] * total + cells[inside], return_inverse=True)
    pixels = np.bincount(inverse, weights=lengths[inside], minlength=len(pairs))
    return pairs % total, pairs // total, pixels.astype(np.int64)


def _cell_of_pixel(pixels: int, cells: int, covers_px: float) -> npt.NDArray[np.int64]:
    """The cell that the centre of each pixel lies in, along one side."""
    at = ((np.arange(pixels) + 0.5) * cells / covers_px).astype(np.int64)
    return np.minimum(at, cells - 1)


def _mean(components: Components, count: int, feature_map: FeatureMap) -> npt.NDArray[np.float64]:
    with torch.no_grad():
        pooled = mean_over_regions(
            components, count, FeatureMap(feature_map.features.float(), feature_map.covers_hw_px)
        )
    return pooled.cpu().numpy().astype(np.float64)


def _stored(group: str, values: Floats) -> npt.NDArray[np.float16]:
    if not np.isfinite(values).all():
        raise ValueError(f"the features '{group}' of a region are not finite")
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
