import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.stacked_runs import StackedRuns
from models.rle import Rle

ONE = np.array([[1, 1, 0], [0, 1, 0]], bool)
OTHER = np.array([[0, 1, 1], [0, 0, 1]], bool)
RUNS = StackedRuns([Rle.encode(ONE), Rle.encode(OTHER)], 6)
VALUES = np.array([[1, 2, 4], [8, 16, 32]])


def test_sums_of_values_inside():
    assert len(RUNS) == 2
    assert RUNS.sums(VALUES.ravel(order="F")).tolist() == [1 + 2 + 16, 2 + 4 + 32]


def test_what_masks_say_adds_up_where_they_overlap():
    said = RUNS.spread(np.array([10, 1])).reshape(2, 3, order="F")
    assert said.tolist() == [[10, 11, 1], [0, 10, 1]]


def test_without_masks():
    none = StackedRuns([], 6)
    assert len(none) == 0
    assert none.sums(np.ones(6, np.int64)).tolist() == []
    assert none.spread(np.zeros(0, np.int64)).tolist() == [0] * 6


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_runs_give_what_pixels_give(seed, height, width):
    rng = np.random.default_rng(seed)
    masks = rng.random((5, height, width)) < rng.random((5, 1, 1))
    masks[:, rng.integers(height), rng.integers(width)] = True
    runs = StackedRuns([Rle.encode(mask) for mask in masks], height * width)
    values = rng.integers(0, 1 << 17, (height, width))
    assert runs.sums(values.ravel(order="F")).tolist() == [values[m].sum() for m in masks]
    said = rng.integers(0, 1 << 17, 5)
    expected = sum(int(s) * mask for s, mask in zip(said, masks, strict=True))
    assert (runs.spread(said).reshape(height, width, order="F") == expected).all()
