"""Regions from the pixels alone, for machines without weights of a region model.

Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, as
scikit-image implements it, gives small segments, which merge to ever larger ones. It knows nothing
of objects: its regions end where colours do, and no one scale is right for a pole and for the sky,
so regions of several are proposed. Noise is smoothed and contrast brought to one level first, or a
scale would mean another thing by night and in fog than by day. What fills a large part of an image
is rarely one thing where contrast is low, so it is not proposed. All of it was chosen on generated
targets and on real images of the source under changed style (docs/benchmarks.md).
"""

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from models.connectivity.extraction import component_rles
from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.promptable.hierarchy import merge_tree, nested_levels
from models.region_models import graph_library_version
from models.rle import Rle

SCALE: Final = 5
SMOOTHING_PX: Final = 0.7
LEAST_AREA_PX: Final = 10
LEVELS: Final = tuple(1000 * 30 ** (step / 6) for step in range(6))
"""How much the regions of each level may differ inside; see `hierarchy.merge_tree`."""
MOST_AREA: Final = 0.15
"""Largest share of the image that is proposed as one region, if it is made of several segments."""
PROMPTED_LEVEL: Final = 2
"""The level whose regions answer prompts."""
LONGEST_SIDE_PX: Final = 320
"""Side for which scale, areas and levels are meant; they grow with larger images."""

_DEVIATION: Final = 45.0
_LEAST_DEVIATION: Final = 4.0
_BILATERAL: Final = (7, 40.0, 3.0)
_NOWHERE: Final = -1
_INSIDE: Final = 0.6
"""Share of a segment that must lie inside a box to be part of the answer."""


class GraphRegionModel:
    """A region model without a network; its embedding is the image.

    Raises:
        ModelRefused: if scikit-image is not installed.
    """

    kind = "graph"
    device = torch.device("cpu")
    proposal_defaults = ProposalConfig()

    def __init__(self, digest: str) -> None:
        graph_library_version()
        self.digest = digest

    def encode(self, image: RgbImage) -> Embedding:
        """See `RegionModel.encode`; there are no features."""
        height, width = image.shape[:2]
        return Embedding((height, width), None, (height, width), image)

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        """The regions of all levels, each once; nothing of `config` is used.

        Regions larger than `MOST_AREA` are left out, and on the first level the segments that they
        are made of stand in their place, so that no pixel is without a region. The stability of a
        region is the share of the levels on which it is found.
        """
        segments, levels = _levels(embedding, LEVELS)
        levels = _without_large(segments, levels)
        rles: list[Rle] = []
        counts: list[npt.NDArray[np.int64]] = []
        known = np.zeros(0, np.int64)
        everywhere, found_on = np.unique(
            np.concatenate([np.unique(level) for level in levels]), return_counts=True
        )
        for level in levels:
            nodes, places = np.unique(level, return_inverse=True)
            masks = component_rles(places.reshape(level.shape).astype(np.int32) + 1, len(nodes))
            new = np.flatnonzero(~np.isin(nodes, known) & (nodes != _NOWHERE))
            rles += [masks[place] for place in new]
            counts.append(found_on[np.searchsorted(everywhere, nodes[new])])
            known = np.union1d(known, nodes)
        return _masks(rles, np.concatenate(counts) / len(levels))

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        """The regions of one level that lie mostly inside the box, with those under points inside.

        Regions under a point outside are left out.
        """
        _, (level,) = _levels(embedding, LEVELS[PROMPTED_LEVEL : PROMPTED_LEVEL + 1])
        segments = np.unique(level, return_inverse=True)[1].reshape(level.shape).astype(np.int32)
        areas_px = np.bincount(segments.ravel())
        rles = [Rle.encode(_answer(segments, areas_px, prompts, i)) for i in range(len(prompts))]
        return _masks(rles, np.ones(len(rles)))


def _answer(
    segments: npt.NDArray[np.int32],
    areas_px: npt.NDArray[np.int64],
    prompts: Prompts,
    index: int,
) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(len(areas_px), bool)
    if prompts.boxes_xyxy is not None:
        x0, y0, x1, y1 = np.rint(prompts.boxes_xyxy[index]).astype(int)
        inside = segments[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1]
        counts = np.bincount(inside.ravel(), minlength=len(areas_px))
        chosen = counts > _INSIDE * areas_px
    if prompts.points_xy is not None and prompts.point_labels is not None:
        limit = np.array(segments.shape[::-1]) - 1
        places = np.clip(np.rint(prompts.points_xy[index]), 0, limit).astype(int)
        under = segments[places[:, 1], places[:, 0]]
        chosen[under[prompts.point_labels[index] == 1]] = True
        chosen[under[prompts.point_labels[index] == 0]] = False
    answer: npt.NDArray[np.bool_] = chosen[segments]
    return answer


def _without_large(
    segments: npt.NDArray[np.int32], levels: Sequence[npt.NDArray[np.int64]]
) -> list[npt.NDArray[np.int64]]:
    """The levels without regions of several segments above `MOST_AREA`.

    Their pixels get the node of their segment on the first level and `_NOWHERE` on the others.
    """
    count = int(segments.max()) + 1
    smaller = []
    for place, level in enumerate(levels):
        is_large = np.bincount(level.ravel()) > MOST_AREA * level.size
        is_large[:count] = False  # segments have the lowest numbers
        instead = segments if place == 0 else _NOWHERE
        smaller.append(np.where(is_large[level], instead, level))
    return smaller


def _levels(
    embedding: Embedding, heights: Sequence[float]
) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.int64]]]:
    """The segment of each pixel, and its region on levels of rising height, (H, W) each.

    A segment that is a region of its own has the same number there.
    """
    from skimage.segmentation import felzenszwalb

    if embedding.image is None:
        raise ValueError("graph regions look at the image, and the embedding has none")
    larger = max(1.0, max(embedding.size_hw) / LONGEST_SIDE_PX)
    colours = levelled(embedding.image)
    found: npt.NDArray[Any] = felzenszwalb(
        colours,
        scale=SCALE * larger,
        sigma=SMOOTHING_PX,
        min_size=round(LEAST_AREA_PX * larger**2),
    )
    numbers = np.unique(found, return_inverse=True)[1]
    segments = numbers.reshape(found.shape).astype(np.int32)
    # A height goes by the root of an area, so by the side.
    scaled = [height * larger for height in heights]
    return segments, nested_levels(segments, merge_tree(segments, colours), scaled)


def levelled(image: RgbImage) -> RgbImage:
    """The image with its noise smoothed and its contrast brought to one level, uint8 (H, W, 3)."""
    smooth = cv2.bilateralFilter(np.ascontiguousarray(image), *_BILATERAL).astype(np.float32)
    colours = smooth.reshape(-1, 3)
    gain = np.float32(_DEVIATION / max(float(colours.std(0).mean()), _LEAST_DEVIATION))
    values = (smooth - colours.mean(0, dtype=np.float64).astype(np.float32)) * gain + 128
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _masks(rles: list[Rle], stability: npt.NDArray[np.floating[Any]]) -> Masks:
    count = len(rles)
    return Masks(
        rles=rles,
        iou=np.ones(count, np.float32),
        stability=stability.astype(np.float32),
        boxes_xyxy=np.array([rle.box_xyxy() for rle in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([rle.area_px for rle in rles], np.int64),
        points_xy=np.full((count, 2), np.nan, np.float32),
    )
