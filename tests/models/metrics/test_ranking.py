import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.ranking import aupr_error, auroc, auroc_of_samples, classwise_auroc
from tests.models.metrics.levels import Pixels, counts_of

pixel_lists = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40)


def brute_force_auroc(pixels: Pixels) -> float:
    pairs = [(r, w) for r, right in pixels if right for w, wrong in pixels if not wrong]
    if not pairs:
        return float("nan")
    return float(np.mean([(r > w) + 0.5 * (r == w) for r, w in pairs]))


def brute_force_aupr_error(pixels: Pixels) -> float:
    errors = sum(not right for _, right in pixels)
    if errors == 0:
        return float("nan")
    area, recall_before = 0.0, 0.0
    for threshold in range(256):
        flagged = [not right for level, right in pixels if level <= threshold]
        if flagged:
            recall = sum(flagged) / errors
            area += (recall - recall_before) * sum(flagged) / len(flagged)
            recall_before = recall
    return area


def test_perfect_reversed_and_constant_rankings():
    assert auroc(counts_of([(9, True), (3, False)])) == 1.0
    assert auroc(counts_of([(3, True), (9, False)])) == 0.0
    assert auroc(counts_of([(7, True), (7, False)])) == 0.5


def test_one_of_four_pairs_reversed():
    assert auroc(counts_of([(2, False), (4, True), (6, False), (8, True)])) == 0.75


def test_average_precision_of_errors():
    # From the lowest level: wrong (1/1), right, wrong (2/3), right.
    counts = counts_of([(2, False), (4, True), (6, False), (8, True)])
    assert aupr_error(counts) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_undefined_without_right_or_wrong_pixels():
    assert np.isnan(auroc(counts_of([(5, True)])))
    assert np.isnan(auroc(counts_of([(5, False)])))
    assert np.isnan(aupr_error(counts_of([(5, True)])))


def test_classwise_mean_leaves_out_undefined_classes():
    first = counts_of([(9, True), (3, False)])
    second = counts_of([(7, True), (7, False)])
    undefined = counts_of([(7, True)])
    assert classwise_auroc(np.stack([first, second, undefined])) == pytest.approx(0.75)
    assert np.isnan(classwise_auroc(undefined[None]))


@given(pixels=pixel_lists)
def test_agrees_with_brute_force(pixels):
    counts = counts_of(pixels)
    assert auroc(counts) == pytest.approx(brute_force_auroc(pixels), nan_ok=True)
    assert aupr_error(counts) == pytest.approx(brute_force_aupr_error(pixels), nan_ok=True)


@pytest.mark.parametrize(
    ("doubt", "wrong", "expected"),
    [
        ([0.1, 0.9], [False, True], 1.0),
        ([0.9, 0.1], [False, True], 0.0),
        ([0.5, 0.5, 0.5], [False, True, True], 0.5),
        ([0.1, 0.2, 0.2, 0.3], [False, True, False, True], 0.875),
        ([0.1], [True], None),
    ],
)
def test_auroc_of_samples(doubt: list[float], wrong: list[bool], expected: float | None) -> None:
    assert auroc_of_samples(np.array(doubt), np.array(wrong)) == expected
