import numpy as np
import pytest

from models.prediction import Prediction
from models.prediction_detail import PredictionDetail
from models.rectification.config import RectifyConfig
from models.rectification.stage import rectify
from tests.models.rectification.toys import doubtful_everywhere

NAMES = ("ground", "thing")


def prediction(p_thing: float = 0.8, features: float = 0.0) -> Prediction:
    """8 x 8 pixels of class 1."""
    probabilities = np.zeros((2, 2, 2), np.float16)
    probabilities[1], probabilities[0] = p_thing, 1 - p_thing
    detail = PredictionDetail(probabilities, np.full((3, 2, 2), features, np.float16), (8.0, 8.0))
    label = np.ones((8, 8), np.uint8)
    return Prediction(label, np.full((8, 8), p_thing, np.float32), 8, detail)


@pytest.mark.parametrize("mode", ["exact", "coarse"])
def test_a_trusted_label_stays_and_r_is_its_confidence(mode):
    found = rectify(prediction(), doubtful_everywhere(NAMES, 3, 0.7), RectifyConfig(mode=mode))
    assert (found.label == 1).all()
    assert found.p_max == pytest.approx(0.7, abs=1e-5)
    assert found.predicted is not None


def test_a_label_not_trusted_becomes_what_the_second_opinion_says():
    # 0.3 * [0.2, 0.8] + 0.7 * [1, 0] = [0.76, 0.24]
    found = rectify(prediction(), doubtful_everywhere(NAMES, 3, 0.3), RectifyConfig())
    assert (found.label == 0).all()
    assert found.predicted is not None
    np.testing.assert_array_equal(found.predicted, np.ones((8, 8)))
    assert found.p_max == pytest.approx(0.76, abs=1e-3)


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
