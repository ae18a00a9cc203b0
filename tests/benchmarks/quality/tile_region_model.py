"""A region model that sees the tiles of which the images of `tiny_data` are made."""

import numpy as np
import torch

from models.promptable.base import Embedding, Masks, Prompts, ProposalConfig, RgbImage
from models.rle import Rle

TILE_PX = 8


class TileRegionModel:
    """Proposes every tile of 8 x 8 pixels, and answers a box with the box.

    It remembers how often it encoded and proposed.
    """

    kind = "tiles"
    digest = "0" * 64
    device = torch.device("cpu")
    proposal_defaults = ProposalConfig()

    def __init__(self) -> None:
        self.encoded = self.proposed = 0

    def encode(self, image: RgbImage) -> Embedding:
        self.encoded += 1
        height, width = image.shape[:2]
        tiles = torch.from_numpy(image[::TILE_PX, ::TILE_PX].copy()).permute(2, 0, 1).float() / 255
        return Embedding((height, width), tiles, (float(height), float(width)), image)

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        assert prompts.boxes_xyxy is not None
        corners = np.rint(prompts.boxes_xyxy).astype(int)
        return _boxes(embedding.size_hw, [(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in corners])

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        self.proposed += 1
        height, width = embedding.size_hw
        return _boxes(
            embedding.size_hw,
            [
                (x, y, x + TILE_PX, y + TILE_PX)
                for y in range(0, height, TILE_PX)
                for x in range(0, width, TILE_PX)
            ],
        )


def _boxes(size_hw: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> Masks:
    rles = []
    for x0, y0, x1, y1 in boxes:
        mask = np.zeros(size_hw, bool)
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
        rles.append(Rle.encode(mask))
    return Masks(
        rles=rles,
        iou=np.full(len(rles), 0.9, np.float32),
        stability=np.ones(len(rles), np.float32),
        boxes_xyxy=np.array([rle.box_xyxy() for rle in rles], np.int32).reshape(-1, 4),
        areas_px=np.array([rle.area_px for rle in rles], np.int64),
        points_xy=np.full((len(rles), 2), np.nan, np.float32),
    )
