from dataclasses import replace

import numpy as np
import pytest

from models.rectification import rivals
from models.rectification.calibration import PlattScaling
from models.rectification.config import RectifyConfig
from models.rectification.rectifier import field_input
from models.rectification.stage import reliability_of
from tests.models.rectification.test_stage import NAMES, prediction
from tests.models.rectification.toys import doubtful_everywhere


def test_max_softmax_and_its_calibration():
    found = prediction(p_thing=0.8)
    assert rivals.max_softmax(found) == pytest.approx(0.8)
    # log odds log 4, halved: log 2, which is 2 to 1.
    assert rivals.calibrated(found, PlattScaling(scale=0.5)) == pytest.approx(2 / 3, abs=1e-5)


@pytest.mark.parametrize(("p", "expected"), [(0.5, 0.0), (1.0, 1.0), (0.75, 0.1887)])
def test_negentropy(p, expected):
    assert rivals.negentropy(prediction(p)) == pytest.approx(expected, abs=2e-3)


def test_agreement_counts_views_of_the_same_class():
    one = prediction(p_thing=0.8)
    other = replace(one, label=np.zeros((8, 8), np.uint8))
    same = replace(one, p_max=np.full((8, 8), 0.5, np.float32))
    assert rivals.agreement(one, []) == pytest.approx(0.8)
    assert rivals.agreement(one, [same, other]) == pytest.approx((0.8 + 0.5 + 0) / 3)


def test_divergence_of_opposite_opinions_is_large():
    sure_of_ground = doubtful_everywhere(NAMES, 3, 0.7)
    against = rivals.discrete_divergence(prediction(0.98), sure_of_ground)
    alike = rivals.discrete_divergence(prediction(0.02), sure_of_ground)
    assert against.shape == alike.shape == (8, 8)
    assert against.max() < 0.05  # KL = -log 0.02, so that exp(-KL) is 0.02
    assert alike.min() > 0.95
    with pytest.raises(ValueError, match="second opinion"):
        rivals.discrete_divergence(prediction(), replace(sure_of_ground, auxiliary=None))


def test_the_network_on_its_grid_equals_the_field_where_nothing_varies():
    rectifier = doubtful_everywhere(NAMES, 3, 0.7)
    found = prediction()
    assert found.detail is not None
    field = reliability_of(found, field_input(found.detail), rectifier, RectifyConfig())
    assert rivals.grid_field(found, rectifier) == pytest.approx(field, abs=1e-6)
