from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from models.config import PredictConfig
from models.metrics.ranking import auroc
from models.metrics.reliability import over_classes, reliability_counts
from models.prediction import Predictor
from models.rectification.config import RectifyConfig
from models.rectification.source_fit import NoErrors, SourceFitSettings, TooFewImages
from models.rectification.source_free import (
    SourceFreeSettings,
    agreeing_views,
    fit_source_free,
    most_said,
    share_of_others,
)
from models.rectification.stage import rectify
from models.rectification.training import TrainingSettings
from models.segmentation.base import SegmentationOutput
from tests.models.connectivity.fakes import DrawnRegionModel, masks_of
from tests.models.rectification.toys import ColourModel, picture

FIT = SourceFitSettings(
    points=256,
    training=TrainingSettings(steps=150, views=4, points=128),
)
SETTINGS = SourceFreeSettings(fit=FIT)


class BrittleModel(ColourModel):
    """Takes yellow for red, surely; in mean colours a little off its answer turns over."""

    def forward(self, images: Tensor) -> SegmentationOutput:
        found = super().forward(images)
        red, green = images[:, :1], images[:, 1:2]
        yellow = (red > 0.3) & (green > 0.3)
        # 170 / 255 = 0.667 is just enough to be a thing; most changes of light push it away.
        brittle = 40 * (0.05 - (green - 170 / 255).abs())
        logits = found.logits.clone()
        logits[:, 1:2] = brittle.where(yellow, logits[:, 1:2])
        return SegmentationOutput(logits, found.features)


def images(count: int, first: int = 0) -> list[np.ndarray]:
    return [picture(seed)[1] for seed in range(first, first + count)]


def test_what_most_looks_say_and_the_first_where_they_are_equal():
    labels = np.array([[[0, 1, 2, 0]], [[1, 1, 2, 1]], [[1, 0, 0, 0]], [[0, 0, 0, 2]]], np.uint8)
    assert most_said(labels, 3).tolist() == [[0, 1, 2, 0]]
    assert most_said(labels[1:], 3).tolist() == [[1, 0, 0, 1]]


def test_share_of_the_other_looks():
    labels = np.array([[[0, 1, 2]], [[0, 1, 1]], [[1, 1, 0]]], np.uint8)
    assert share_of_others(labels, 0).tolist() == [[0.5, 1.0, 0.0]]
    assert share_of_others(labels, 2).tolist() == [[0.0, 1.0, 0.0]]


def test_looks_that_leave_pixels_in_place_are_views_and_regions_have_a_say():
    everything = np.ones((48, 48), bool)
    regions = DrawnRegionModel(masks_of([everything], [0.9]))
    few = replace(SETTINGS, styles=1, fourier=1)
    for region_model, looks in ((None, 6), (regions, 7)):
        views, count = agreeing_views(
            ColourModel(), images(8), PredictConfig(), 0, region_model, few
        )
        assert count == 8
        assert len(views) == 8 * 3  # unchanged, restyled, with other amplitudes
        assert [view.image for view in views] == [i // 3 for i in range(24)]
        trusts = np.unique(np.concatenate([view.expected for view in views]))
        steps = trusts * (looks - 1)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-5)


@pytest.mark.slow
def test_it_mistrusts_what_changes_turn_over():
    model = BrittleModel()
    rectifier, figures = fit_source_free(model, images(24), PredictConfig(), settings=SETTINGS)
    assert rectifier.calibrated is False
    assert figures["images"] == 24
    counts = {name: np.zeros((2, 256), np.int64) for name in ("r", "max_softmax")}
    for seed in range(100, 106):
        _, image, truth = picture(seed)
        ((_, before),) = Predictor(model, PredictConfig(), with_detail=True).predict([image])
        after = rectify(before, rectifier, RectifyConfig(relabel=False))
        for name, values in (("r", after.p_max), ("max_softmax", before.p_max)):
            level = np.rint(values * 255).astype(np.uint8)
            counts[name] += over_classes(reliability_counts(before.label, level, truth, 2))
    assert auroc(counts["r"]) > 0.9
    assert auroc(counts["r"]) > auroc(counts["max_softmax"])


def test_too_few_images():
    with pytest.raises(TooFewImages, match="3 images"):
        fit_source_free(ColourModel(), images(3), PredictConfig(), settings=SETTINGS)


def test_a_model_whose_answers_do_not_change():
    class Stubborn(ColourModel):
        def forward(self, images: Tensor) -> SegmentationOutput:
            found = super().forward(images)
            return SegmentationOutput(found.logits * 0, found.features)

    with pytest.raises(NoErrors, match="change the label"):
        fit_source_free(Stubborn(), images(8), PredictConfig(), settings=SETTINGS)
