"""A label after aggregation to its regions: masks, votes, pooled features."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.connectivity.components import component_table, components_of
from models.connectivity.config import FEATURE_GROUPS
from models.connectivity.features import Pixels, region_features, region_sums, votes_of
from models.connectivity.regions import Regions
from models.rle import Rle


class Aggregated(Protocol):
    """What aggregation gives; see `models.connectivity.aggregation.Aggregation`."""

    @property
    def label(self) -> npt.NDArray[np.uint8]: ...

    @property
    def pieces(self) -> npt.NDArray[np.int32]: ...

    @property
    def quality(self) -> npt.NDArray[np.float32]: ...


def regions_of(
    aggregation: Aggregated,
    pixels: Pixels,
    num_classes: int,
    groups: Sequence[str] = FEATURE_GROUPS,
) -> Regions:
    """The regions of a label: 8-connected, of one class and one piece; 255 is in none.

    Args:
        aggregation: label uint8 (H, W), pieces int32 (H, W) (0 where no mask was painted), and the
            quality of each piece, float32 (M,).
        pixels: what is known of the pixels.
        num_classes: K.
        groups: the features that are wanted, as far as their sources are there.

    Raises:
        ValueError: a group of features is not finite, or a class is not below K.
    """
    components, count = components_of(aggregation.label, aggregation.pieces)
    table = component_table(components, count, aggregation.label)
    kept_classes = pixels.kept[pixels.kept != 255]
    if max(table.classes.max(initial=0), kept_classes.max(initial=0)) >= num_classes:
        raise ValueError(f"the label has classes that are not below {num_classes}")
    quality = _quality(components, count, aggregation)
    votes = votes_of(components, count, num_classes, pixels.kept, pixels.weight)
    confidence = region_sums(components, count, pixels.p_max) / np.maximum(table.areas_px, 1)
    return Regions(
        size_hw=(components.shape[0], components.shape[1]),
        rles=component_rles(components, count),
        boxes_xyxy=table.boxes_xyxy,
        areas_px=table.areas_px,
        classes=table.classes,
        votes=votes.astype(np.float32),
        quality=quality,
        confidence=confidence.astype(np.float32),
        features=region_features(components, table.classes, num_classes, pixels, quality, groups),
    )


def component_rles(components: npt.NDArray[np.int32], count: int) -> list[Rle]:
    """The mask of each component 1..N of a map, int32 (H, W), in one pass over the image.

    Each number from 1 to N occurs.
    """
    size_hw = components.shape[0], components.shape[1]
    flat = components.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] - 1))
    ends = np.append(starts[1:], flat.size)[: len(starts)]
    ids = flat[starts]
    inside = ids > 0
    ids, starts, ends = ids[inside], starts[inside], ends[inside]
    order = np.argsort(ids, kind="stable")  # by component, along columns within each
    ids, starts, ends = ids[order] - 1, starts[order], ends[order]
    lasts = np.cumsum(np.bincount(ids, minlength=count))
    # Each component has the zeros before and the ones of each run, and the zeros to the end.
    before = np.concatenate([[0], ends[:-1]])
    before[np.diff(ids, prepend=-1) != 0] = 0
    places = 2 * np.arange(len(ids)) + ids
    counts = np.empty(2 * len(ids) + count, np.uint32)
    counts[places], counts[places + 1] = starts - before, ends - starts
    stops = 2 * lasts + np.arange(count)
    counts[stops] = flat.size - ends[lasts - 1]
    # A mask that reaches the last pixel ends with a run of ones.
    stops_kept = stops + (counts[stops] > 0)
    firsts = np.concatenate([[0], stops + 1])[:count]
    return [Rle(size_hw, counts[a:b]) for a, b in zip(firsts, stops_kept, strict=True)]


def _quality(
    components: npt.NDArray[np.int32], count: int, aggregation: Aggregated
) -> npt.NDArray[np.float32]:
    pieces = np.zeros(count + 1, np.int64)
    pieces[components.ravel()] = aggregation.pieces.ravel()
    return np.concatenate([np.ones(1, np.float32), aggregation.quality])[pieces[1:]].astype(
        np.float32
    )
