from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.boxes import box_iou, grown_boxes, offset_boxes


def corners(x0: Any, y0: Any, x1: Any, y1: Any) -> Any:
    return np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.int32)


def test_offset_of_an_upright_square_has_2_64_times_its_area():
    side = 200  # between the centres of the outermost pixels
    (box,) = offset_boxes([corners(400, 300, 400 + side, 300 + side)], 1.25, (1000, 1000))
    # d = 1.25 * 200 * 200 / 800 = 62.5
    assert box.tolist() == [337, 237, 663, 563]
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert area / side**2 == pytest.approx(2.64, abs=0.03)


def test_offset_of_a_very_thin_rectangle_has_2_25_times_its_area():
    (box,) = offset_boxes([corners(100, 4000, 108_100, 4400)], 1.25, (10**4, 10**6))
    # d = 1.25 * 108000 * 400 / 216800 = 249.08: 400 grows to 898, the length hardly.
    assert box.tolist() == [0, 3750, 108_350, 4650]


def test_a_rectangle_at_an_angle_reaches_further_than_its_corners_by_the_offset():
    diamond = np.array([[50, 30], [70, 50], [50, 70], [30, 50]], np.int32)
    # Sides of sqrt(800), area 800, perimeter 4 * sqrt(800): d = 1.25 * sqrt(800) / 4 = 8.84.
    assert offset_boxes([diamond], 1.25, (100, 100)).tolist() == [[21, 21, 79, 79]]


def test_paper_gives_one_and_a_half_times_the_area():
    (box,) = grown_boxes(np.array([[400, 300, 600, 400]], np.int32), 1.5, (1000, 1000))
    assert box == pytest.approx([377.526, 288.763, 621.474, 410.237], abs=1e-3)
    # From the outer edges of the outermost pixels.
    assert (box[2] - box[0] + 1) * (box[3] - box[1] + 1) / (200 * 100) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("outline", "tight"),
    [
        ([[3, 2]], [3, 2, 3, 2]),
        ([[3, 2], [7, 2]], [3, 2, 7, 2]),
        ([[3, 2], [3, 9]], [3, 2, 3, 9]),
        ([[0, 0], [4, 4]], [0, 0, 4, 4]),
    ],
)
def test_pixels_and_lines_keep_their_own_box(outline, tight):
    assert offset_boxes([np.array(outline, np.int32)], 1.25, (10, 10)).tolist() == [tight]
    x0, y0, x1, y1 = tight
    (box,) = grown_boxes(np.array([[x0, y0, x1 + 1, y1 + 1]], np.int32), 1.5, (10, 10))
    assert (box[:2] <= tight[:2]).all()
    assert (box[2:] >= tight[2:]).all()


def test_boxes_end_at_the_edge_of_the_image():
    outline = corners(0, 0, 9, 7)
    assert offset_boxes([outline], 1.25, (8, 10)).tolist() == [[0, 0, 9, 7]]
    assert grown_boxes(np.array([[0, 0, 10, 8]], np.int32), 1.5, (8, 10)).tolist() == [[0, 0, 9, 7]]


def test_no_components_have_no_boxes():
    assert offset_boxes([], 1.25, (8, 10)).shape == (0, 4)
    assert grown_boxes(np.zeros((0, 4), np.int32), 1.5, (8, 10)).shape == (0, 4)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(100, 140), st.integers(100, 140)), min_size=3, max_size=12),
)
def test_offset_equals_that_of_the_rectangle_drawn_as_a_polygon(pixels):
    outline = np.array(pixels, np.int32)
    (box,) = offset_boxes([outline], 1.25, (300, 300))
    rectangle = cv2.minAreaRect(outline)
    polygon = cv2.boxPoints(rectangle).astype(np.float64)
    area = rectangle[1][0] * rectangle[1][1]
    distance = 1.25 * area / max(2 * sum(rectangle[1]), 1e-9)
    round_join = np.linspace(0, 2 * np.pi, 361)
    circle = distance * np.column_stack([np.cos(round_join), np.sin(round_join)])
    offset = (polygon[:, None] + circle).reshape(-1, 2)
    assert (np.abs(box[:2] - np.floor(offset.min(0) + 1e-2)) <= 1).all()
    assert (np.abs(box[2:] - np.ceil(offset.max(0) - 1e-2)) <= 1).all()
    assert (box[:2] <= offset.min(0) + 1e-2).all()
    assert (box[2:] >= offset.max(0) - 1e-2).all()


def test_iou_of_boxes():
    one = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 0, 0], [5, 5, 5, 5]])
    other = np.array([[2, 0, 6, 4], [4, 0, 8, 4], [0, 0, 0, 0], [0, 0, 9, 9]])
    assert box_iou(one, other).tolist() == [8 / 24, 0, 0, 0]
