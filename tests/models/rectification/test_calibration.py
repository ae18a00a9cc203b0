import numpy as np
import pytest

from models.rectification.calibration import (
    PlattScaling,
    fit_platt,
    log_odds,
    sigmoid,
)


def test_platt_finds_the_scale_and_shift_that_made_the_outcomes():
    rng = np.random.default_rng(0)
    logits = rng.normal(1, 2, 40_000)
    right = rng.random(40_000) < sigmoid(0.5 * logits - 1.0)
    found = fit_platt(logits, right)
    assert (found.scale, found.shift) == pytest.approx((0.5, -1.0), abs=0.05)
    assert found.probability(logits).mean() == pytest.approx(right.mean(), abs=1e-3)


def test_platt_of_two_groups_gives_their_shares():
    logits = np.array([1.0] * 4 + [-1.0] * 4)
    right = np.array([1, 1, 1, 0, 1, 0, 0, 0], bool)
    p = fit_platt(logits, right).probability(np.array([1.0, -1.0]))
    assert p == pytest.approx([0.75, 0.25], abs=1e-4)
    weighted = fit_platt(logits, right, np.array([1, 1, 1, 3, 1, 1, 1, 1.0]))
    assert weighted.probability(np.array([1.0]))[0] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("right", [np.ones(3, bool), np.zeros(3, bool)])
def test_platt_needs_both_outcomes(right):
    with pytest.raises(ValueError, match="right and wrong"):
        fit_platt(np.arange(3.0), right)


def test_separable_outcomes_end_in_finite_values():
    found = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert np.isfinite([found.scale, found.shift]).all()
    assert found.probability(np.array([-2.0, 2.0])) == pytest.approx([0, 1], abs=1e-3)


def test_log_odds_are_the_inverse_of_the_sigmoid():
    p = np.array([0.01, 0.5, 0.99])
    assert sigmoid(log_odds(p)) == pytest.approx(p)
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    assert PlattScaling().probability(log_odds(p)) == pytest.approx(p)
