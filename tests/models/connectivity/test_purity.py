import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.purity import purity_map


def entropy_of(values: Any) -> Any:
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def by_windows(label: Any, radius: Any) -> Any:
    height, width = label.shape
    entropy = np.zeros(label.shape)
    for y in range(height):
        for x in range(width):
            window = label[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
            entropy[y, x] = entropy_of(window)
    entropy[label == 255] = entropy.max()
    return entropy


def test_entropy_of_windows_of_three():
    label = np.array([[0, 0, 0, 1, 255, 255, 255]], np.uint8)
    purity = purity_map(label, 2, radius_px=1)
    two_to_one = math.log(3) - 2 / 3 * math.log(2)
    # Pixels that are 255 have the largest entropy of the image: of a 0, a 1 and a 255.
    most = math.log(3)
    assert purity.dtype == np.float32
    assert purity[0] == pytest.approx([0, 0, two_to_one, most, most, most, most], abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 8]))
def test_equals_the_entropy_window_by_window(seed, radius):
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 1, 2, 18, 255], (4, 5)).astype(np.uint8)
    label = np.kron(coarse, np.ones((7, 5), np.uint8))
    before = label.copy()
    assert purity_map(label, 19, radius) == pytest.approx(by_windows(label, radius), abs=1e-6)
    assert (label == before).all()


def test_tiles_leave_no_seams(monkeypatch):
    label = np.random.default_rng(0).choice([0, 1, 2, 255], (40, 70)).astype(np.uint8)
    whole = purity_map(label, 3)
    monkeypatch.setattr("models.connectivity.purity._TILE_PX", 16)
    assert (purity_map(label, 3) == whole).all()


def test_one_class_is_pure_to_the_last_bit_at_the_edges_too():
    assert not purity_map(np.full((20, 30), 254, np.uint8), 255).any()
    assert not purity_map(np.full((20, 30), 255, np.uint8), 3).any()
    assert purity_map(np.zeros((1, 1), np.uint8), 1).tolist() == [[0.0]]


def test_equal_histograms_of_different_classes_are_equally_pure():
    label = np.random.default_rng(1).integers(0, 5, (30, 30)).astype(np.uint8)
    other = np.array([4, 2, 0, 1, 3], np.uint8)[label]
    assert (purity_map(label, 5) == purity_map(other, 5)).all()
