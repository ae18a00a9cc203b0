import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from formats.runs import column_runs, pixels_by_value, row_runs, sums_by_value

LABELS = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.sampled_from([0, 1, 2, 255]),
)


@given(LABELS)
def test_runs_paint_the_label_again(label: np.ndarray) -> None:
    assert (np.repeat(*row_runs(label)[::-1]) == label.ravel()).all()
    assert (np.repeat(*column_runs(label)[::-1]) == label.ravel(order="F")).all()


@given(LABELS)
def test_neighbouring_runs_differ(label: np.ndarray) -> None:
    for lengths, values in (row_runs(label), column_runs(label)):
        assert (lengths > 0).all()
        assert (values[1:] != values[:-1]).all()


@given(LABELS, st.integers(0, 2**32 - 1))
def test_counts_and_sums_by_value(label: np.ndarray, seed: int) -> None:
    counted = np.random.default_rng(seed).integers(0, 256, label.shape, np.uint8)
    runs = column_runs(label)
    pixels = pixels_by_value(runs)
    sums = sums_by_value(runs, counted.ravel(order="F"))
    assert pixels.shape == sums.shape == (256,)
    for value in range(256):
        assert pixels[value] == (label == value).sum()
        assert sums[value] == counted[label == value].sum(dtype=np.int64)
