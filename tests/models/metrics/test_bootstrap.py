import numpy as np
import pytest

from models.metrics.bootstrap import bootstrap_interval
from models.metrics.confusion import Counts


def share(counts: Counts) -> float:
    return float(counts[0] / counts.sum()) if counts.sum() else float("nan")


def test_images_that_agree_leave_no_spread():
    per_image = np.array([[3, 1]] * 6)
    assert bootstrap_interval(per_image, share) == (0.75, 0.75)


def test_interval_of_two_images_reaches_from_one_to_the_other():
    # Draws of two: (a, a) and (b, b) with chance 1/4 each, so the 95 % interval spans both.
    per_image = np.array([[10, 0], [0, 10]])
    assert bootstrap_interval(per_image, share) == (0.0, 1.0)


def test_width_agrees_with_the_normal_approximation():
    rng = np.random.default_rng(5)
    right = rng.integers(0, 101, 200)
    per_image = np.stack([right, 100 - right], axis=1)
    low, high = bootstrap_interval(per_image, share, resamples=2000, seed=1)
    half = 1.96 * (right / 100).std() / np.sqrt(200)
    assert low == pytest.approx(right.mean() / 100 - half, abs=0.01)
    assert high == pytest.approx(right.mean() / 100 + half, abs=0.01)


def test_same_seed_same_interval():
    per_image = np.arange(20).reshape(10, 2)
    first = bootstrap_interval(per_image, share, resamples=50, seed=3)
    assert first == bootstrap_interval(per_image, share, resamples=50, seed=3)
    assert first != bootstrap_interval(per_image, share, resamples=50, seed=4)


def test_figures_of_whole_matrices_and_undefined_draws():
    per_image = np.zeros((3, 2, 2), dtype=np.int64)
    per_image[0] = [[4, 0], [0, 4]]
    interval = bootstrap_interval(per_image, lambda m: share(m[0]))
    assert interval == (1.0, 1.0)
    assert np.isnan(bootstrap_interval(np.zeros((0, 2), dtype=np.int64), share)).all()
    assert np.isnan(bootstrap_interval(np.zeros((4, 2), dtype=np.int64), share)).all()
