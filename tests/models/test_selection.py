import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.config import SelectConfig
from models.selection import (
    BIN_STARTS,
    BINS,
    ConfidenceHistogram,
    PilotFit,
    fit_thresholds,
    fixed_thresholds,
    select,
)

LABEL = np.array([[0, 0, 1], [1, 1, 2]], dtype=np.uint8)
P_MAX = np.array([[0.5, 0.9, 0.4], [0.6, 0.99, 0.7]], dtype=np.float32)


def test_bins_rise_from_zero_to_one_and_are_fine_near_one():
    assert BIN_STARTS.shape == (BINS,)
    assert BIN_STARTS.dtype == np.float32
    assert (BIN_STARTS[0], BIN_STARTS[1], BIN_STARTS[256], BIN_STARTS[-1]) == (0, 1 / 512, 0.5, 1)
    widths = np.diff(BIN_STARTS.astype(np.float64))
    assert (widths >= 0).all()
    assert widths.max() == 1 / 512
    # Next to any probability p above 511/512 a bin is at most a 32nd of the distance to 1 wide.
    fine = BIN_STARTS[:-1] >= 511 / 512
    assert (widths[fine] <= (1 - BIN_STARTS[:-1][fine].astype(np.float64)) / 32 + 2**-24).all()


@settings(deadline=None)
@given(hnp.arrays(np.float32, 50, elements=st.floats(0, 1, width=32)), st.integers(0, BINS - 1))
def test_a_probability_is_in_bin_b_or_above_exactly_when_it_reaches_the_start_of_b(p_max, b):
    histogram = ConfidenceHistogram.of(np.zeros(50, np.uint8), p_max, 1)
    assert histogram.counts[0, b:].sum() == (p_max >= BIN_STARTS[b]).sum()


def test_the_short_cut_to_bins_agrees_with_a_search():
    below, above = (np.nextafter(BIN_STARTS, np.float32(side)) for side in (0, 1))
    p_max = np.concatenate([below, BIN_STARTS, above])
    counts = ConfidenceHistogram.of(np.zeros(p_max.size, np.uint8), p_max, 1).counts[0]
    found = np.searchsorted(BIN_STARTS, p_max, side="right") - 1
    assert (counts == np.bincount(found, minlength=BINS)).all()


def test_histogram_counts_by_predicted_class():
    histogram = ConfidenceHistogram.of(LABEL, P_MAX, 4)
    assert histogram.counts.sum(axis=1).tolist() == [2, 3, 1, 0]
    assert np.flatnonzero(histogram.counts[0]).tolist() == [256, 460]
    assert histogram.pixels == 6


def test_histograms_add_up_in_any_order_and_survive_json():
    a = ConfidenceHistogram.of(LABEL, P_MAX, 3)
    b = ConfidenceHistogram.of(LABEL[:1], 1 - P_MAX[:1], 3)
    assert (a.merge(b).counts == b.merge(a).counts).all()
    assert a.merge(b).pixels == 9
    again = ConfidenceHistogram.from_dict(json.loads(json.dumps(a.to_dict())))
    assert (again.counts == a.counts).all()
    with pytest.raises(ValueError, match="3 and 2 classes"):
        a.merge(ConfidenceHistogram.empty(2))
    with pytest.raises(ValueError, match="1024 bins, not 7"):
        ConfidenceHistogram.from_dict({"bins": 7, "classes": []})


def brute_force_threshold(p_max: np.ndarray, keep_fraction: float) -> float:
    """The largest start of a bin that at least the wanted number of pixels reach."""
    if keep_fraction == 1:
        return 0.0
    wanted = math.ceil(Fraction(str(keep_fraction)) * p_max.size)
    return max(float(start) for start in BIN_STARTS if (p_max >= start).sum() >= wanted)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(0.25, 1, width=32)),
    st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.7, 0.999, 1]),
    st.randoms(use_true_random=False),
)
def test_thresholds_are_those_of_the_brute_force(p_max, keep_fraction, random):
    label = np.array([random.randrange(3) for _ in p_max], dtype=np.uint8)
    histogram = ConfidenceHistogram.of(label, p_max, 3)
    overall = brute_force_threshold(p_max, keep_fraction)
    fit = fit_thresholds(histogram, SelectConfig(mode="global", keep_fraction=keep_fraction))
    assert fit.thresholds == (overall,) * 3
    fit = fit_thresholds(histogram, SelectConfig(keep_fraction=keep_fraction))
    for class_id, threshold in enumerate(fit.thresholds):
        mine = p_max[label == class_id]
        assert threshold == (brute_force_threshold(mine, keep_fraction) if mine.size else overall)
        assert (mine >= np.float32(threshold)).sum() >= math.ceil(
            Fraction(str(keep_fraction)) * mine.size
        )


def test_quantile_in_view():
    # Ten pixels at 0.0, 0.1, …, 0.9: keeping 3 of 10 keeps 0.7, 0.8 and 0.9.
    p_max = (np.arange(10) / 10).astype(np.float32)
    histogram = ConfidenceHistogram.of(np.zeros(10, np.uint8), p_max, 1)
    (threshold,) = fit_thresholds(histogram, SelectConfig(keep_fraction=0.3)).thresholds
    assert threshold == math.floor(0.7 * 512) / 512
    assert (p_max >= threshold).tolist() == [False] * 7 + [True] * 3


def test_a_fraction_is_taken_as_the_decimal_that_was_written():
    # 0.1 * 30 is 3.0000000000000004 in binary, which would keep four.
    p_max = np.linspace(0.3, 0.9, 30, dtype=np.float32)
    histogram = ConfidenceHistogram.of(np.zeros(30, np.uint8), p_max, 1)
    (threshold,) = fit_thresholds(histogram, SelectConfig(keep_fraction=0.1)).thresholds
    assert (p_max >= threshold).sum() == 3


def test_a_confident_model_keeps_the_wanted_share_too():
    p_max = (1 - np.linspace(1e-5, 1e-3, 1000)).astype(np.float32)
    histogram = ConfidenceHistogram.of(np.zeros(1000, np.uint8), p_max, 1)
    (threshold,) = fit_thresholds(histogram, SelectConfig(keep_fraction=0.5)).thresholds
    assert 500 <= (p_max >= threshold).sum() <= 520


def test_an_empty_pilot_is_refused():
    with pytest.raises(ValueError, match="no pixel"):
        fit_thresholds(ConfidenceHistogram.empty(3), SelectConfig())


def test_a_fit_survives_json():
    fit = fit_thresholds(ConfidenceHistogram.of(LABEL, P_MAX, 4), SelectConfig(keep_fraction=0.5))
    assert fit.class_pixels == (2, 3, 1, 0)
    assert PilotFit.from_dict(json.loads(json.dumps(fit.to_dict()))) == fit


def test_select_keeps_what_reaches_the_threshold_of_its_class():
    kept = select(LABEL, P_MAX, (0.9, 0.5, 0.8))
    assert kept.tolist() == [[255, 0, 255], [1, 1, 255]]
    assert kept.dtype == np.uint8


def test_fixed_thresholds():
    assert fixed_thresholds(SelectConfig(), 3) is None
    assert fixed_thresholds(SelectConfig(thresholds=0.5), 3) == (0.5, 0.5, 0.5)
    assert fixed_thresholds(SelectConfig(thresholds=(0.1, 0.2)), 2) == (0.1, 0.2)
    with pytest.raises(ValueError, match="2 values, the model has 3"):
        fixed_thresholds(SelectConfig(thresholds=(0.1, 0.2)), 3)
