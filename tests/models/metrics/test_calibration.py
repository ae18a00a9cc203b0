import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.calibration import (
    adaptive_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
)
from tests.models.metrics.levels import Pixels, counts_of

pixel_lists = st.lists(st.tuples(st.integers(0, 255), st.booleans()), min_size=1, max_size=60)


def brute_force_ece(pixels: Pixels, bins: int) -> float:
    error = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [
            (level / 255, right)
            for level, right in pixels
            if low <= level / 255 < high or (i == bins - 1 and level == 255)
        ]
        if inside:
            confidence = float(np.mean([c for c, _ in inside]))
            accuracy = float(np.mean([right for _, right in inside]))
            error += abs(accuracy - confidence) * len(inside) / len(pixels)
    return error


def test_ece_of_two_bins():
    # Bin [0, 1/15): mean confidence 0, half right. Last bin: mean confidence 1, all right.
    counts = counts_of([(0, False), (0, True), (255, True), (255, True)])
    assert expected_calibration_error(counts) == pytest.approx(0.5 * 0.5)


def test_over_confident_and_under_confident_pixels_of_one_bin_cancel():
    counts = counts_of([(51, True), (51, False), (51, False), (51, False), (51, False)])
    assert expected_calibration_error(counts) == pytest.approx(0.0)
    assert expected_calibration_error(counts_of([(255, False)])) == pytest.approx(1.0)


def test_adaptive_bins_hold_equal_mass():
    # Two bins of two pixels: {0.0, 0.2} with none right, {0.4, 1.0} with both right.
    counts = counts_of([(0, False), (51, False), (102, True), (255, True)])
    expected = 0.5 * abs(0.1 - 0) + 0.5 * abs(0.7 - 1)
    assert adaptive_calibration_error(counts, bins=2) == pytest.approx(expected)


def test_a_level_that_straddles_an_edge_is_split_in_proportion():
    # One level of three pixels in two bins: each bin has confidence 1 and accuracy 2/3.
    counts = counts_of([(255, True), (255, True), (255, False)])
    assert adaptive_calibration_error(counts, bins=2) == pytest.approx(1 / 3)


def test_classwise_mean_is_over_labelled_classes():
    wrong, right = counts_of([(255, False)]), counts_of([(255, True)] * 9)
    absent = np.zeros((2, 256), dtype=np.int64)
    assert classwise_calibration_error(np.stack([wrong, right, absent])) == pytest.approx(0.5)


def test_no_pixels_is_undefined():
    empty = np.zeros((2, 256), dtype=np.int64)
    assert np.isnan(expected_calibration_error(empty))
    assert np.isnan(adaptive_calibration_error(empty))
    assert np.isnan(classwise_calibration_error(empty[None]))


@given(pixels=pixel_lists, bins=st.sampled_from([1, 10, 15]))
def test_ece_agrees_with_brute_force(pixels, bins):
    found = expected_calibration_error(counts_of(pixels), bins)
    assert found == pytest.approx(brute_force_ece(pixels, bins))


@given(pixels=pixel_lists)
def test_errors_lie_between_the_global_gap_and_1(pixels):
    counts = counts_of(pixels)
    gap = abs(np.mean([c / 255 for c, _ in pixels]) - np.mean([right for _, right in pixels]))
    for error in (expected_calibration_error(counts), adaptive_calibration_error(counts)):
        assert gap - 1e-9 <= error <= 1 + 1e-9
