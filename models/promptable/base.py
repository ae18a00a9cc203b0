"""What the label path asks of a region model: class-agnostic masks for prompts and for a grid."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.rle import Rle

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Embedding:
    """An image as a region model has encoded it; everything else is asked of it.

    Attributes:
        size_hw: height and width of the image in pixels.
        features: float32 [C, h, w] on the model's device; None if the model has none.
        covers_hw_px: how many image pixels `features` spans from the top left corner; larger than
            `size_hw` where the model padded at the bottom and right.
        image: uint8 (H, W, 3), for models that look at the pixels again; may be None.
    """

    size_hw: tuple[int, int]
    features: Tensor | None
    covers_hw_px: tuple[float, float]
    image: RgbImage | None = None


@dataclass(frozen=True)
class Prompts:
    """N questions about one image, each with a box, points, or both.

    Attributes:
        boxes_xyxy: float32 (N, 4) in pixels, or None. As in SAM, x1 and y1 are the outermost
            pixels of the box, not one past them.
        points_xy: float32 (N, P, 2) in pixels, or None.
        point_labels: int (N, P): 1 inside, 0 outside, -1 no point; None with `points_xy` None.
    """

    boxes_xyxy: npt.NDArray[np.float32] | None = None
    points_xy: npt.NDArray[np.float32] | None = None
    point_labels: npt.NDArray[np.integer] | None = None

    def __len__(self) -> int:
        given = self.boxes_xyxy if self.boxes_xyxy is not None else self.points_xy
        return 0 if given is None else len(given)


@dataclass(frozen=True)
class Masks:
    """N masks of one image, in no promised order unless a function says so.

    Attributes:
        rles: the masks.
        iou: the model's own estimate of each mask's IoU with what was meant, float32 (N,).
        stability: IoU of the masks at two thresholds, float32 (N,); 1 where it was not computed.
        boxes_xyxy: int32 (N, 4), half open; all 0 for an empty mask.
        areas_px: int64 (N,).
        points_xy: float32 (N, 2), the point that was asked for in a grid; NaN for prompts.
    """

    rles: list[Rle] = field(default_factory=list)
    iou: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    stability: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    boxes_xyxy: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 4), np.int32))
    areas_px: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    points_xy: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    def __len__(self) -> int:
        return len(self.rles)


@dataclass(frozen=True)
class ProposalConfig:
    """How a grid of points becomes proposals; defaults as in `SamAutomaticMaskGenerator`.

    Attributes:
        mode: "exact" gives what the package's generator gives; "fast" asks at a coarse grid first
            and again only where no kept mask lies.
        points_per_side: points along each side of the grid.
        least_iou: masks whose estimated IoU is not larger are dropped.
        least_stability: masks whose stability is smaller are dropped.
        stability_offset: distance of the two thresholds of the stability from that of the mask.
        nms_iou: of two masks whose boxes have a larger IoU the one of lower estimated IoU goes.
    """

    mode: str = "fast"
    points_per_side: int = 32
    least_iou: float = 0.88
    least_stability: float = 0.95
    stability_offset: float = 1.0
    nms_iou: float = 0.7


class RegionModel(Protocol):
    """Image → embedding; prompts → masks; grid → proposals."""

    kind: str  # "sam" or "graph"
    digest: str  # SHA-256 over everything that its answers depend on
    device: torch.device
    proposal_defaults: (
        ProposalConfig  # what its own estimates are worth; used where nothing is said
    )

    def encode(self, image: RgbImage) -> Embedding:
        """The embedding of an image, uint8 (H, W, 3) RGB.

        Raises:
            ModelOutputInvalid: if the embedding is not finite.
        """
        ...

    def masks(self, embedding: Embedding, prompts: Prompts) -> Masks:
        """One mask for each prompt, in their order: SAM's answer without ambiguity."""
        ...

    def proposals(self, embedding: Embedding, config: ProposalConfig) -> Masks:
        """Masks of whatever a grid of single points finds, without near duplicates."""
        ...
