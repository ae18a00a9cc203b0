"""A segmenter of which only probabilities are known, with a region model's embedding beside."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.config import PipelineConfig, PredictConfig
from models.pipeline import LabelPipeline
from models.promptable.base import Embedding, RgbImage
from models.rectification import stage
from models.rectification.config import RectifyConfig
from models.rectification.source_fit import SourceFitSettings, fit_rectifier
from models.rectification.training import TrainingSettings
from models.segmentation.with_region_features import WithRegionFeatures, on_grid
from tests.models.connectivity.fakes import DrawnRegionModel, masks_of
from tests.models.fakes import RedModel
from tests.models.rectification.toys import picture

SETTINGS = SourceFitSettings(
    styles=2, points=256, training=TrainingSettings(steps=150, views=4, points=128)
)


class ColourRegions(DrawnRegionModel):
    """Its embedding are the mean colours of cells of 4 px, of an image padded to 64 x 80."""

    def encode(self, image: RgbImage) -> Embedding:
        height, width = image.shape[:2]
        values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        padded = F.pad(values, (0, 80 - width, 0, 64 - height))
        return Embedding((height, width), F.avg_pool2d(padded, 4)[0], (64, 80), image)


def regions() -> ColourRegions:
    return ColourRegions(masks_of([np.ones((48, 48), bool)], [0.9]))


def test_features_are_cut_to_the_image_and_stay_where_they_are():
    _, image, _ = picture(0)
    found = on_grid(regions().encode(image), (48, 48))
    assert found is not None
    values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(found, F.avg_pool2d(values, 4)[0], atol=1e-5, rtol=0)
    assert on_grid(Embedding((48, 48), None, (48, 48), image), (48, 48)) is None


def test_classes_are_the_models_own():
    images = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    found = WithRegionFeatures(RedModel(), regions()).forward(images)
    torch.testing.assert_close(found.logits, RedModel().forward(images).logits)
    assert found.features is not None
    assert found.features.shape == (2, 3, 5, 6)
    no_features = DrawnRegionModel(masks_of([np.ones((20, 24), bool)], [0.9]))
    assert WithRegionFeatures(RedModel(), no_features).forward(images).features is None


def test_a_black_box_is_judged_and_mended_by_what_the_region_model_sees(monkeypatch):
    """The model takes yellow for red and has no features; the embedding can tell them apart."""
    # It errs as surely as it is right: no opinion could pass for one that knows the image.
    monkeypatch.setattr(stage, "opinion_weight", lambda probabilities, opinion: 1.0)
    model = WithRegionFeatures(RedModel(), regions())
    labelled = [picture(seed) for seed in range(24)]
    model.rectifier, figures = fit_rectifier(model, labelled, PredictConfig(), settings=SETTINGS)
    held_out = figures["held_out"]
    assert held_out["auroc"] > max(0.9, held_out["auroc_of_max_softmax"])
    _, image, truth = picture(100)
    right = {}
    for rectify in (None, RectifyConfig()):
        (maps,) = LabelPipeline(model, PipelineConfig(rectify=rectify)).label([image])
        right[rectify is not None] = (maps.label == truth).mean()
    assert right[False] < 0.9
    assert right[True] > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (7, 33)])
def test_images_of_any_size(shape):
    images = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    found = WithRegionFeatures(RedModel(), regions()).forward(images)
    assert found.features is not None
    assert min(found.features.shape) >= 1
