"""Regions from the pixels alone, for machines without weights of a region model.

Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, as
scikit-image implements it, at three scales. It knows nothing of objects: its regions end where
colours do.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models.connectivity.extraction import component_rles
from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.region_models import graph_library_version
from models.rle import Rle

SCALES: Final = (30, 100, 300)
SMOOTHING_PX: Final = 0.6
LEAST_AREA_PX: Final = 40
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
        """Every segment at each scale, the finest first; nothing of `config` is used."""
        rles: list[Rle] = []
        for scale in SCALES:
            segments = _segments(embedding, scale)
            rles += component_rles(segments, int(segments.max()))
        return _masks(rles)

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        """The segments that lie mostly inside the box, with those under the points inside.

        Segments under a point outside are left out.
        """
        segments = _segments(embedding, SCALES[0])
        areas_px = np.bincount(segments.ravel())
        return _masks(
            [Rle.encode(_answer(segments, areas_px, prompts, i)) for i in range(len(prompts))]
        )


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


def _segments(embedding: Embedding, scale: int) -> npt.NDArray[np.int32]:
    """Segments 1..N of the image, int32 (H, W)."""
    from skimage.segmentation import felzenszwalb

    if embedding.image is None:
        raise ValueError("graph regions look at the image, and the embedding has none")
    found: npt.NDArray[Any] = felzenszwalb(
        embedding.image, scale=scale, sigma=SMOOTHING_PX, min_size=LEAST_AREA_PX
    )
    return found.astype(np.int32) + 1


def _masks(rles: list[Rle]) -> Masks:
    count = len(rles)
    return Masks(
        rles=rles,
        iou=np.ones(count, np.float32),
        stability=np.ones(count, np.float32),
        boxes_xyxy=np.array([rle.box_xyxy() for rle in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([rle.area_px for rle in rles], np.int64),
        points_xy=np.full((count, 2), np.nan, np.float32),
    )
