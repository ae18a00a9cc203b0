from dataclasses import replace

import numpy as np
import pytest
import torch

from models.prediction import Prediction
from models.prediction_detail import PredictionDetail
from models.rectification import stage
from models.rectification.config import RectifyConfig
from models.rectification.dense import dense_logits
from models.rectification.rectifier import field_input
from models.rectification.stage import _mixed, rectify
from tests.models.rectification.toys import doubtful_everywhere

NAMES = ("ground", "thing")


def prediction(p_thing: float = 0.8, features: float = 0.0) -> Prediction:
    """8 x 8 pixels of class 1."""
    probabilities = np.zeros((2, 2, 2), np.float16)
    probabilities[1], probabilities[0] = p_thing, 1 - p_thing
    detail = PredictionDetail(probabilities, np.full((3, 2, 2), features, np.float16), (8.0, 8.0))
    label = np.ones((8, 8), np.uint8)
    return Prediction(label, np.full((8, 8), p_thing, np.float32), 8, detail)


def detail_of(found: Prediction) -> PredictionDetail:
    assert found.detail is not None
    return found.detail


@pytest.mark.parametrize("mode", ["exact", "coarse"])
def test_a_trusted_label_stays_and_r_is_its_confidence(mode):
    found = rectify(prediction(), doubtful_everywhere(NAMES, 3, 0.7), RectifyConfig(mode=mode))
    assert (found.label == 1).all()
    assert found.p_max == pytest.approx(0.7, abs=1e-5)
    assert found.predicted is not None


@pytest.fixture
def heard(monkeypatch):
    """The second opinion has its whole weight, whatever it says."""
    monkeypatch.setattr(stage, "opinion_weight", lambda probabilities, opinion: 1.0)


def test_a_label_not_trusted_becomes_what_the_second_opinion_says(heard):
    # 0.3 * [0.2, 0.8] + 0.7 * [1, 0] = [0.76, 0.24]
    found = rectify(prediction(), doubtful_everywhere(NAMES, 3, 0.3), RectifyConfig())
    assert (found.label == 0).all()
    assert found.predicted is not None
    np.testing.assert_array_equal(found.predicted, np.ones((8, 8)))
    assert found.p_max == pytest.approx(0.76, abs=1e-3)


def test_near_edges_colours_say_where_the_class_changes():
    # Three cells of 4 px along a row: surely ground, in doubt, surely thing; the image changes at
    # column 6, the prediction at column 4.
    p_thing = np.array([[0.02, 0.5, 0.98]], np.float16)
    probabilities = np.stack([1 - p_thing, p_thing])
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 6:] = 200
    detail = PredictionDetail(
        probabilities, np.zeros((3, 1, 3), np.float16), (4.0, 12.0), image=image
    )
    label = np.zeros((4, 12), np.uint8)
    label[:, 4:] = 1
    before = Prediction(label, np.full((4, 12), 0.6, np.float32), 12, detail)
    trusting = doubtful_everywhere(NAMES, 3, 0.95)
    found = rectify(before, trusting, RectifyConfig())
    assert found.label[0].tolist() == [0] * 6 + [1] * 6
    assert found.p_max[0, 8:] == pytest.approx(0.95, abs=1e-5)
    kept = rectify(before, trusting, RectifyConfig(edges="bilinear"))
    np.testing.assert_array_equal(kept.label, label)
    without_image = replace(before, detail=replace(detail, image=None))
    np.testing.assert_array_equal(rectify(without_image, trusting, RectifyConfig()).label, label)


def test_without_relabelling_only_the_confidence_changes():
    rectifier = doubtful_everywhere(NAMES, 3, 0.3)
    found = rectify(prediction(), rectifier, RectifyConfig(relabel=False))
    assert (found.label == 1).all()
    assert found.p_max == pytest.approx(0.3, abs=1e-5)


def test_a_pixel_that_cannot_change_is_not_asked_about():
    # 0.7 * 0.99 > 0.3: whatever b says, class 1 stays.
    found = rectify(prediction(0.99), doubtful_everywhere(NAMES, 3, 0.7), RectifyConfig())
    assert (found.label == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite(value):
    with pytest.raises(ValueError, match="finite"):
        rectify(prediction(features=value), doubtful_everywhere(NAMES, 3, 0.7), RectifyConfig())


def test_a_prediction_without_detail():
    bare = Prediction(np.ones((8, 8), np.uint8), np.ones((8, 8), np.float32), 8)
    with pytest.raises(ValueError, match="detail"):
        rectify(bare, doubtful_everywhere(NAMES, 3, 0.7), RectifyConfig())


def test_probabilities_of_the_mixture_in_cells():
    # The left half is trusted, the right one half: 0.9 [0.2, 0.8] + 0.1 [1, 0] and the same at 0.5.
    reliability = np.full((6, 8), 0.9, np.float32)
    reliability[:, 4:] = 0.5
    given = field_input(detail_of(prediction()))
    opinion = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    mixed = _mixed(given, opinion, reliability)
    assert mixed.dtype == np.float16
    expected = np.array([[[0.28, 0.6], [0.28, 0.6]], [[0.72, 0.4], [0.72, 0.4]]])
    np.testing.assert_allclose(mixed, expected, atol=1e-3)


def test_an_opinion_that_contradicts_what_the_model_is_sure_of_is_not_heard():
    found = rectify(prediction(), doubtful_everywhere(NAMES, 3, 0.3), RectifyConfig())
    assert (found.label == 1).all()
    assert found.p_max == pytest.approx(0.3, abs=1e-5)
    assert found.note is not None
    assert "weight of 0.00" in found.note


@pytest.mark.parametrize("relabel", [True, False])
def test_the_mixture_is_there_only_where_classes_may_change(heard, relabel):
    rectifier = doubtful_everywhere(NAMES, 3, 0.3)
    found = rectify(prediction(), rectifier, RectifyConfig(relabel=relabel))
    assert (found.mixed is not None) == relabel
    if found.mixed is not None:
        np.testing.assert_allclose(found.mixed[0], 0.76, atol=1e-3)


def test_agreement_of_several_looks_moves_r_by_its_log_odds():
    plain = prediction()
    rectifier = replace(doubtful_everywhere(NAMES, 3, 0.5), agreement_gain=1.0)
    agreed = np.full((8, 8), 0.8, np.float32)
    agreed[:, :4] = 0
    found = rectify(replace(plain, agreement=agreed), rectifier, RectifyConfig(relabel=False))
    assert found.p_max[:, 4:] == pytest.approx(0.8, abs=1e-5)
    assert found.p_max[:, :4] == pytest.approx(0.01, abs=1e-5)  # the least that counts
    # Of a single look max-softmax takes its place.
    found = rectify(plain, rectifier, RectifyConfig(relabel=False))
    assert found.p_max == pytest.approx(0.8, abs=1e-5)


def test_a_device_that_is_full_leaves_the_work_to_the_cpu(monkeypatch):
    rectifier = doubtful_everywhere(NAMES, 3, 0.7)
    expected = rectify(prediction(), rectifier, RectifyConfig())
    asked = []

    def full_once(*given, **more):
        asked.append(given)
        if len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return dense_logits(*given, **more)

    monkeypatch.setattr(stage, "dense_logits", full_once)
    found = rectify(prediction(), rectifier, RectifyConfig())
    assert len(asked) == 2
    np.testing.assert_array_equal(found.label, expected.label)
    np.testing.assert_array_equal(found.p_max, expected.p_max)
