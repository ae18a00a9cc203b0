from dataclasses import replace

import numpy as np
import pytest

from models.config import PredictConfig
from models.prediction import Predictor
from models.rectification import stage
from models.rectification.config import RectifyConfig
from models.rectification.source_fit import (
    NoErrors,
    SourceFitSettings,
    TooFewImages,
    _calibration,
    fit_rectifier,
)
from models.rectification.stage import rectify
from models.rectification.training import TrainingSettings
from tests.models.rectification.toys import ColourModel, picture

SETTINGS = SourceFitSettings(
    styles=2, points=256, training=TrainingSettings(steps=150, views=4, points=128)
)


@pytest.fixture(scope="module")
def fitted():
    labelled = [picture(seed) for seed in range(24)]
    return fit_rectifier(ColourModel(), labelled, PredictConfig(), settings=SETTINGS)


def test_it_knows_where_the_model_errs_and_what_it_should_have_said(fitted, monkeypatch):
    # The model errs as surely as it is right: no opinion could pass for one that knows the image.
    monkeypatch.setattr(stage, "opinion_weight", lambda probabilities, opinion: 1.0)
    rectifier, figures = fitted
    assert figures["images"] == 24
    assert figures["views"] == 48
    assert figures["wrong_of_class"]["0"] > 100
    assert figures["held_out"]["images"] == 7
    assert figures["held_out"]["auroc"] > max(0.9, figures["held_out"]["auroc_of_max_softmax"])
    _, image, truth = picture(100)
    ((_, before),) = Predictor(ColourModel(), PredictConfig(), with_detail=True).predict([image])
    after = rectify(before, rectifier, RectifyConfig())
    assert after.predicted is not None
    np.testing.assert_array_equal(after.predicted, before.label)
    assert (before.label == truth).mean() < 0.9
    assert (after.label == truth).mean() > 0.95
    assert after.p_max[after.label == truth].mean() > 0.9
    kept = rectify(before, rectifier, RectifyConfig(relabel=False))
    np.testing.assert_array_equal(kept.label, before.label)
    assert kept.p_max[before.label != truth].mean() < 0.3


def test_the_same_images_give_the_same_weights():
    labelled = [picture(seed) for seed in range(8)]
    few = replace(SETTINGS, training=TrainingSettings(steps=3))
    one, other = (
        fit_rectifier(ColourModel(), labelled, PredictConfig(), settings=few)[0] for _ in range(2)
    )
    for name, tensor in one.tensors().items():
        np.testing.assert_array_equal(tensor, other.tensors()[name])


def test_views_take_no_more_memory_than_allowed():
    labelled = [picture(seed) for seed in range(12)]
    few = replace(SETTINGS, most_bytes=60_000, training=TrainingSettings(steps=1))
    _, figures = fit_rectifier(ColourModel(), labelled, PredictConfig(), settings=few)
    assert 8 <= figures["views"] < 24


def test_too_few_images():
    with pytest.raises(TooFewImages, match="3 images"):
        fit_rectifier(ColourModel(), [picture(s) for s in range(3)], PredictConfig())


def test_no_errors_to_learn_from():
    right = [
        (name, image, (image[..., 0] > 127).astype(np.uint8))
        for name, image, _ in (picture(seed, yellow_share=0.0) for seed in range(8))
    ]
    with pytest.raises(NoErrors, match="not trained on"):
        fit_rectifier(ColourModel(), right, PredictConfig(), settings=replace(SETTINGS, styles=1))


def test_what_does_not_hold_on_other_images_is_not_taken():
    logits = np.linspace(-2, 2, 200).astype(np.float32)
    with pytest.raises(NoErrors, match="no better"):
        _calibration(logits, (logits < 0.1).astype(np.float32))
    with pytest.raises(NoErrors, match="no wrong pixel"):
        _calibration(logits, np.ones(200, np.float32))
