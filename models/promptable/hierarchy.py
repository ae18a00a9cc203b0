"""Nested segmentations: neighbouring segments merge in order of how little they differ.

Agglomerative merging on a region adjacency graph with Ward's criterion (Ward, "Hierarchical
Grouping to Optimize an Objective Function", JASA 1963), its weight of areas under a root: the full
weight keeps large areas of nearly one colour apart for long, none at all keeps specks.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Segments = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class MergeTree:
    """A binary forest over S segments; nodes S, S + 1, … are merged from two others each.

    Attributes:
        parents: the node into which each of N nodes is merged, int64 (N,); -1 for a root.
        heights: how much may differ before the node comes to be, float64 (N,); 0 for segments, and
            never less than that of a node inside.
    """

    parents: npt.NDArray[np.int64]
    heights: npt.NDArray[np.float64]


def merge_tree(segments: Segments, colours: npt.NDArray[np.uint8]) -> MergeTree:
    """The order in which neighbouring segments merge.

    The height of a merger of areas a, b (px) and mean colours c, d is
    sqrt(a b / (a + b)) |c - d|^2.

    Args:
        segments: numbers 0 … S - 1, each of which occurs, int32 (H, W).
        colours: uint8 (H, W, 3).
    """
    count = int(segments.max()) + 1
    flat = segments.ravel()
    areas = np.bincount(flat, minlength=count).astype(np.float64)
    sums = [np.bincount(flat, colours[..., i].ravel(), count) for i in range(colours.shape[2])]
    growing = _Growing(areas, np.stack(sums, axis=1) / areas[:, None], _pairs(segments))
    return growing.tree()


def nested_levels(
    segments: Segments, tree: MergeTree, heights: Sequence[float]
) -> list[npt.NDArray[np.int64]]:
    """The node of each pixel, int64 (H, W), once everything up to each height is merged.

    Args:
        segments: as given to `merge_tree`.
        tree: what it gave.
        heights: rising.
    """
    levels = []
    for height in heights:
        above = np.arange(len(tree.parents))
        # A parent has a higher number than its children, so it knows its own answer already.
        for node in range(len(above) - 1, -1, -1):
            parent = tree.parents[node]
            if parent >= 0 and tree.heights[parent] <= height:
                above[node] = above[parent]
        levels.append(above[segments])
    return levels


def _pairs(segments: Segments) -> npt.NDArray[np.int64]:
    """Pairs of segments that share an edge, the lower number first, each once, int64 (P, 2)."""
    count = int(segments.max()) + 1
    sides = [
        (segments[:, :-1], segments[:, 1:]),
        (segments[:-1], segments[1:]),
    ]
    found = [
        np.minimum(one, other).astype(np.int64) * count + np.maximum(one, other)
        for one, other in ((a[a != b], b[a != b]) for a, b in sides)
    ]
    codes = np.unique(np.concatenate(found))
    return np.stack([codes // count, codes % count], axis=1)


class _Growing:
    """Nodes while they are merged: area, colour and neighbours of each."""

    def __init__(
        self,
        areas: npt.NDArray[np.float64],
        colours: npt.NDArray[np.float64],
        pairs: npt.NDArray[np.int64],
    ) -> None:
        self._areas: list[float] = areas.tolist()
        self._colours: list[tuple[float, ...]] = [tuple(row) for row in colours.tolist()]
        self._around: list[set[int]] = [set() for _ in self._areas]
        self._parents = [-1] * len(self._areas)
        self._heights = [0.0] * len(self._areas)
        for one, other in pairs.tolist():
            self._around[one].add(other)
            self._around[other].add(one)
        self._waiting = [(self._difference(a, b), a, b) for a, b in pairs.tolist()]
        heapq.heapify(self._waiting)

    def tree(self) -> MergeTree:
        while self._waiting:
            difference, one, other = heapq.heappop(self._waiting)
            if self._parents[one] < 0 and self._parents[other] < 0:
                self._merge(one, other, difference)
        return MergeTree(np.array(self._parents, np.int64), np.array(self._heights))

    def _merge(self, one: int, other: int, difference: float) -> None:
        new = len(self._areas)
        a, b = self._areas[one], self._areas[other]
        pairs = zip(self._colours[one], self._colours[other], strict=True)
        self._areas.append(a + b)
        self._colours.append(tuple((a * c + b * d) / (a + b) for c, d in pairs))
        self._heights.append(max(difference, self._heights[one], self._heights[other]))
        self._parents[one] = self._parents[other] = new
        self._parents.append(-1)
        around = {n for n in self._around[one] | self._around[other] if self._parents[n] < 0}
        self._around.append(around)
        self._around[one] = self._around[other] = set()
        for neighbour in around:
            self._around[neighbour].add(new)
            heapq.heappush(self._waiting, (self._difference(neighbour, new), neighbour, new))

    def _difference(self, one: int, other: int) -> float:
        a, b = self._areas[one], self._areas[other]
        pairs = zip(self._colours[one], self._colours[other], strict=True)
        distance = sum((c - d) * (c - d) for c, d in pairs)
        return float((a * b / (a + b)) ** 0.5 * distance)
