"""A model whose features are coarser than they are: what a deeper network would give."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.bundle import Bundle
from models.segmentation.base import SegmentationOutput
from models.segmentation.bundled import BundledSegmenter

STRIDE_PX = 4  # of the features as they are


class PooledSegmenter(BundledSegmenter):
    """The segmenter of a bundle; its features are means of squares of cells, its classes its own.

    Args:
        bundle: the model.
        device: where it runs.
        stride_px: of the features it is to give, a multiple of 4.

    Raises:
        ValueError: any other stride.
    """

    def __init__(self, bundle: Bundle, device: torch.device, stride_px: int) -> None:
        if stride_px < STRIDE_PX or stride_px % STRIDE_PX:
            raise ValueError(f"a stride is a multiple of {STRIDE_PX}, not {stride_px}")
        super().__init__(bundle, device)
        self._cells = stride_px // STRIDE_PX

    def forward(self, images: Tensor) -> SegmentationOutput:
        """As the model; no features of images that are no whole multiples of the stride."""
        found = super().forward(images)
        assert found.features is not None
        if any(side % self._cells for side in found.features.shape[2:]):
            return SegmentationOutput(found.logits)
        return SegmentationOutput(found.logits, F.avg_pool2d(found.features, self._cells))
