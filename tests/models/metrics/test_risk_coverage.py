import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.risk_coverage import (
    area_under_risk_coverage,
    excess_area_under_risk_coverage,
    risk_coverage_curve,
)
from tests.models.metrics.levels import counts_of

RANKED = [(8, True), (6, False), (4, True), (2, False)]


def mean_risk(rightness: Sequence[bool]) -> float:
    wrong = np.cumsum([not right for right in rightness])
    return float(np.mean(wrong / np.arange(1, len(rightness) + 1)))


def test_curve_from_the_most_confident_pixel_down():
    coverage, risk = risk_coverage_curve(counts_of(RANKED))
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 2 / 4])


def test_areas():
    counts = counts_of(RANKED)
    # The best order has both right pixels first: risks 0, 0, 1/3, 1/2.
    assert area_under_risk_coverage(counts) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert excess_area_under_risk_coverage(counts) == pytest.approx(0.5 / 4)


def test_constant_confidence_has_the_error_rate():
    assert area_under_risk_coverage(counts_of([(7, True)] * 3 + [(7, False)])) == 0.25


def test_no_pixels_is_undefined():
    empty = counts_of([])
    assert risk_coverage_curve(empty)[0].size == 0
    assert np.isnan(area_under_risk_coverage(empty))
    assert np.isnan(excess_area_under_risk_coverage(empty))


def test_perfect_ranking_of_many_pixels_has_no_excess():
    # Large enough for the asymptotic harmonic numbers; one right pixel per level would need more
    # levels than there are, so the excess is only as small as the tie of all wrong pixels.
    counts = np.zeros((2, 256), dtype=np.int64)
    counts[1, 255], counts[0, 0] = 30_000, 20_000
    order = [True] * 30_000 + [False] * 20_000
    expected = area_under_risk_coverage(counts) - mean_risk(order)
    assert excess_area_under_risk_coverage(counts) == pytest.approx(expected, abs=1e-9)


@given(rightness=st.lists(st.booleans(), min_size=1, max_size=6))
def test_distinct_levels_agree_with_brute_force(rightness):
    counts = counts_of([(200 - i, right) for i, right in enumerate(rightness)])
    assert area_under_risk_coverage(counts) == pytest.approx(mean_risk(rightness))
    best = min(mean_risk(order) for order in itertools.permutations(rightness))
    excess = mean_risk(rightness) - best
    assert excess_area_under_risk_coverage(counts) == pytest.approx(excess, abs=1e-12)
