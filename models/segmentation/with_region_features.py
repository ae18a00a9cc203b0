"""A model that gives classes alone, with a region model's embedding for its features.

Black-box setting: of the segmenter only probabilities are known. What the stage `rectify` reads
near a pixel is then what the region model has seen there.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.promptable.base import Embedding, RegionModel
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationModel, SegmentationOutput


class WithRegionFeatures:
    """A segmenter whose features are a region model's; its own, if it has any, are not given.

    Its weights are not at hand, so its normalisation cannot be re-estimated. A rectifier that is
    fitted for it belongs to the region model as well; nothing checks that.

    Args:
        model: the segmenter.
        region_model: one with an embedding, as SAM; of graph regions there is none, and the field
            then reads the logarithms of the class probabilities.

    Attributes:
        rectifier: fitted for both, or None.
    """

    def __init__(self, model: SegmentationModel, region_model: RegionModel) -> None:
        self._model, self._region_model = model, region_model
        self.ontology = model.ontology
        self.device = model.device
        self.has_batch_statistics = False
        self.rectifier: Rectifier | None = None

    def forward(self, images: Tensor) -> SegmentationOutput:
        """As `SegmentationModel.forward`.

        Raises:
            ModelOutputInvalid: if an embedding is not finite.
        """
        found = self._model.forward(images)
        height, width = images.shape[2:]
        covers_hw = found.covers_hw_px or (height, width)
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        features = [on_grid(self._region_model.encode(image), covers_hw) for image in pixels]
        if any(values is None for values in features):
            return SegmentationOutput(found.logits, None, found.covers_hw_px)
        stacked = torch.stack([values for values in features if values is not None])
        return SegmentationOutput(found.logits, stacked.to(self.device), found.covers_hw_px)


def on_grid(embedding: Embedding, covers_hw_px: tuple[int, int]) -> Tensor | None:
    """The features on a grid that spans just so many pixels, bilinear, float32 [C, h, w].

    The cells stay as large as they were, but for rounding. None if there are no features.
    """
    if embedding.features is None:
        return None
    given = embedding.features.float()[None]
    axes = []
    for cells, own_px, wanted_px in zip(
        given.shape[2:], embedding.covers_hw_px, covers_hw_px, strict=True
    ):
        count = max(1, round(cells * wanted_px / own_px))
        centres_px = (torch.arange(count, device=given.device) + 0.5) * (wanted_px / count)
        axes.append(2 * centres_px / own_px - 1)
    y, x = torch.meshgrid(*axes, indexing="ij")
    places = torch.stack([x, y], -1)[None]
    sampled = F.grid_sample(given, places, padding_mode="border", align_corners=False)
    return sampled[0]
