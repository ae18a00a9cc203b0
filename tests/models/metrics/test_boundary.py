import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.metrics.boundary import (
    band_width_px,
    boundary_counts,
    boundary_iou,
    boundary_iou_per_class,
    inner_band,
)


def brute_force_band(mask: npt.NDArray[np.bool_], width_px: int) -> npt.NDArray[np.bool_]:
    height, width = mask.shape
    band = np.zeros_like(mask)
    for row, column in zip(*np.nonzero(mask), strict=True):
        for y in range(row - width_px, row + width_px + 1):
            for x in range(column - width_px, column + width_px + 1):
                inside = 0 <= y < height and 0 <= x < width
                if not inside or not mask[y, x]:
                    band[row, column] = True
    return band


def test_band_is_2_percent_of_the_diagonal():
    assert band_width_px((360, 480)) == 12
    assert band_width_px((1, 1)) == 1


def test_band_of_a_square_against_the_image_border():
    mask = np.zeros((5, 6), dtype=bool)
    mask[0:5, 0:5] = True
    expected = np.array(
        [
            [1, 1, 1, 1, 1, 0],
            [1, 0, 0, 0, 1, 0],
            [1, 0, 0, 0, 1, 0],
            [1, 0, 0, 0, 1, 0],
            [1, 1, 1, 1, 1, 0],
        ],
        dtype=bool,
    )
    np.testing.assert_array_equal(inner_band(mask, 1), expected)


def test_counts_of_a_shifted_edge():
    # Bands are one pixel wide: the image border and the column beside the edge.
    truth = np.repeat(np.array([[0, 0, 0, 1, 1, 1]], dtype=np.uint8), 5, axis=0)
    label = np.repeat(np.array([[0, 0, 0, 0, 1, 1]], dtype=np.uint8), 5, axis=0)
    # Class 0: bands of 12 (truth, 5x3 less 3 inside) and 14 (label, 5x4 less 6 inside) pixels;
    # class 1: 12 (truth) and all 10 pixels of a two-column strip (label).
    # Shared, class 0: column 0 (5) and rows 0 and 4 of columns 1 and 2 (4).
    # Shared, class 1: column 5 (5) and rows 0 and 4 of column 4 (2).
    expected = [[9, 12 + 14 - 9, 12], [7, 12 + 10 - 7, 12]]
    counts = boundary_counts(label, truth, 2)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(boundary_iou_per_class(counts), [9 / 17, 7 / 15])
    assert boundary_iou(counts) == pytest.approx((9 / 17 + 7 / 15) / 2)


def test_equal_maps_have_boundary_iou_1_even_around_unannotated_pixels():
    truth = np.array([[0, 0, 255, 1], [0, 0, 255, 1], [0, 0, 1, 1]], dtype=np.uint8)
    label = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=np.uint8)
    assert boundary_iou(boundary_counts(label, truth, 2)) == 1.0


def test_a_dropped_pixel_is_a_hole():
    truth = np.zeros((3, 3), dtype=np.uint8)
    label = truth.copy()
    label[0, 0] = 255
    # The truth has a band of 8 pixels; the label lost one and gained the centre.
    np.testing.assert_array_equal(boundary_counts(label, truth, 1), [[7, 9, 8]])


def test_only_classes_of_the_truth_enter_the_mean():
    truth = np.zeros((3, 3), dtype=np.uint8)
    label = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.uint8)
    counts = boundary_counts(label, truth, 3)
    np.testing.assert_array_equal(counts, [[8, 8, 8], [0, 1, 0], [0, 0, 0]])
    assert boundary_iou(counts) == 1.0
    assert np.isnan(boundary_iou(np.zeros((3, 3), dtype=np.int64)))


@settings(max_examples=50)
@given(mask=arrays(bool, (7, 6)), width_px=st.integers(1, 3))
def test_band_agrees_with_brute_force(mask, width_px):
    np.testing.assert_array_equal(inner_band(mask, width_px), brute_force_band(mask, width_px))
