import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.connectivity.mixture import TwoGaussians, fit_two_gaussians

LOSSES = hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(0, 20, width=32))


def two_groups(
    low: Any = 0.5, high: Any = 3.0, deviation: Any = 0.2, counts: Any = (300, 100)
) -> Any:
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, deviation, n) for mean, n in zip((low, high), counts, strict=True)]
    return np.concatenate(groups)


def found_in(losses: Any) -> TwoGaussians:
    split = fit_two_gaussians(losses)
    assert split is not None
    return split


def test_two_groups_are_found_where_they_are():
    losses = two_groups()
    found = found_in(losses)
    width = losses.max() - losses.min()
    np.testing.assert_allclose(found.shares, [0.75, 0.25], atol=0.001)
    np.testing.assert_allclose(np.array(found.means) * width + losses.min(), [0.5, 3.0], atol=0.05)
    np.testing.assert_allclose(np.sqrt(found.variances) * width, [0.2, 0.2], atol=0.03)
    high = found.posterior(losses) > 0.5
    assert (high == (np.arange(400) >= 300)).all()


def test_separation_is_ashmans_d():
    split = TwoGaussians(0.0, 1.0, (0.5, 0.5), (0.2, 0.8), (0.01, 0.03))
    assert split.separation == pytest.approx(2**0.5 * 0.6 / 0.04**0.5)
    # Groups that touch are less apart than groups that do not.
    assert found_in(two_groups(0.5, 1.0)).separation < 4
    assert found_in(two_groups(0.5, 3.0)).separation > 8


@pytest.mark.parametrize(
    ("low_variance", "high_variance"), [(0.01, 0.04), (0.04, 0.01), (0.02, 0.02)]
)
def test_the_posterior_never_falls_with_the_loss(low_variance, high_variance):
    split = TwoGaussians(0.0, 1.0, (0.6, 0.4), (0.3, 0.7), (low_variance, high_variance))
    posterior = split.posterior(np.linspace(-2, 3, 501))
    assert (np.diff(posterior) >= 0).all()
    assert posterior[0] < 0.5 < posterior[-1]
    # Between the means it is the posterior of the mixture.
    densities = [
        share * np.exp(-((0.6 - mean) ** 2) / (2 * variance)) / variance**0.5
        for share, mean, variance in zip(split.shares, split.means, split.variances, strict=True)
    ]
    expected = densities[1] / sum(densities)
    assert split.posterior(np.array([0.6]))[0] == pytest.approx(expected)


@settings(deadline=None)
@given(LOSSES)
def test_any_losses_have_a_defined_split(losses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_two_gaussians(losses)
        if found is None:
            assert losses.max() == losses.min()
            return
        posterior = found.posterior(losses)
    assert np.isfinite([*found.shares, *found.means, *found.variances, found.separation]).all()
    assert sum(found.shares) == pytest.approx(1)
    assert found.means[0] <= found.means[1]
    assert ((posterior >= 0) & (posterior < 1)).all()
    assert (np.diff(posterior[np.argsort(losses)]) >= 0).all()


@settings(deadline=None)
@given(LOSSES, st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order(losses, random):
    shuffled = list(losses)
    random.shuffle(shuffled)
    assert fit_two_gaussians(np.array(shuffled)) == fit_two_gaussians(losses)


@pytest.mark.parametrize("losses", [[], [1.0], [2.0, 2.0, 2.0], [0.0, 5e-324]])
def test_what_cannot_be_split_has_no_split(losses):
    assert fit_two_gaussians(np.array(losses)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        fit_two_gaussians(np.array([0.0, 1.0, bad]))


def test_a_split_survives_json():
    split = found_in(two_groups())
    assert TwoGaussians.from_dict(json.loads(json.dumps(split.to_dict()))) == split
