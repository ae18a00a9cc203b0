"""A region model whose answers are written down by hand."""

from collections.abc import Sequence

import numpy as np
import torch

from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.rle import Rle


def masks_of(drawings: Sequence[np.ndarray], iou: Sequence[float] | None = None) -> Masks:
    """Masks from arrays (H, W) of 0 and 1, with the estimated IoUs given or 1."""
    rles = [Rle.encode(np.asarray(drawing) > 0) for drawing in drawings]
    return Masks(
        rles=rles,
        iou=np.array(iou if iou is not None else [1.0] * len(rles), np.float32),
        stability=np.ones(len(rles), np.float32),
        boxes_xyxy=np.array([r.box_xyxy() for r in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([r.area_px for r in rles], np.int64),
        points_xy=np.full((len(rles), 2), np.nan, np.float32),
    )


def taken(masks: Masks, order: Sequence[int]) -> Masks:
    """The same masks in another order."""
    order = list(order)
    return Masks(
        rles=[masks.rles[i] for i in order],
        iou=masks.iou[order],
        stability=masks.stability[order],
        boxes_xyxy=masks.boxes_xyxy[order],
        areas_px=masks.areas_px[order],
        points_xy=masks.points_xy[order],
    )


def embedding_of(size_hw: tuple[int, int]) -> Embedding:
    return Embedding(size_hw=size_hw, features=None, covers_hw_px=size_hw)


class DrawnRegionModel:
    """Proposes what it was given, and answers each box with the box or with masks given in turn.

    It remembers the prompts of each call of `masks` and how often it proposed.
    """

    kind = "drawn"
    digest = "0" * 64
    device = torch.device("cpu")
    proposal_defaults = ProposalConfig()

    def __init__(self, proposals: Masks | None = None, answers: Masks | None = None) -> None:
        self.proposed = proposals if proposals is not None else Masks()
        self.answers = answers
        self.asked: list[Prompts] = []
        self.grids: list[ProposalConfig] = []

    def encode(self, image: RgbImage) -> Embedding:
        return Embedding(image.shape[:2], None, image.shape[:2], image)

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        self.asked.append(prompts)
        if self.answers is not None:
            return self.answers
        drawings = []
        assert prompts.boxes_xyxy is not None
        for x0, y0, x1, y1 in np.rint(prompts.boxes_xyxy).astype(int):
            drawing = np.zeros(embedding.size_hw, np.uint8)
            drawing[y0 : y1 + 1, x0 : x1 + 1] = 1
            drawings.append(drawing)
        return masks_of(drawings)

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        self.grids.append(config)
        return self.proposed
