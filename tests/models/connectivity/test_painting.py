from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.painting import (
    PROPOSAL,
    ClassedMask,
    by_rising_area,
    in_order,
    paint,
    paint_where_right,
)
from models.rle import Rle


def classed(drawing: Any, class_id: Any = 0, *, iou: Any = 1.0, prompt: Any = PROPOSAL) -> Any:
    rle = Rle.encode(np.array([[c == "#" for c in row] for row in drawing]))
    return ClassedMask(rle, rle.area_px, class_id, iou, prompt)


BIG = classed(["####", "####"], 0, iou=0.9)
SMALL = classed([".##.", "...."], 1, iou=0.8)
TINY = classed(["..#.", "...."], 2, iou=0.7)


def test_the_last_mask_is_in_sight():
    assert paint([BIG, SMALL, TINY], (2, 4)).tolist() == [[1, 2, 3, 1], [1, 1, 1, 1]]
    assert paint([SMALL, TINY, BIG], (2, 4)).tolist() == [[3] * 4] * 2


def test_by_quality_the_best_estimate_is_painted_last_and_answers_after_proposals():
    answer = classed(["#...", "...."], 3, iou=0.1, prompt=0)
    assert in_order([answer, BIG, TINY, SMALL], "quality") == [TINY, SMALL, BIG, answer]


def test_the_public_code_paints_the_best_proposal_first_and_answers_by_rising_class():
    answers = [classed(["#...", "...."], c, prompt=p) for c, p in ((5, 2), (3, 1), (3, 0))]
    order = in_order([*answers, TINY, BIG, SMALL], "generator")
    assert order == [BIG, SMALL, TINY, answers[2], answers[1], answers[0]]


def test_a_pixel_belongs_to_the_largest_mask_of_its_class():
    order = by_rising_area([BIG, TINY, SMALL])
    assert order == [TINY, SMALL, BIG]
    label = np.array([[0, 1, 1, 255], [2, 0, 0, 0]], np.uint8)
    assert paint_where_right(order, label).tolist() == [[3, 2, 2, 0], [0, 3, 3, 3]]
    inside = np.array([[0, 1, 2, 0], [0, 0, 0, 0]], np.uint8)
    assert paint_where_right(order, inside).tolist() == [[3, 2, 1, 3], [3, 3, 3, 3]]


def test_of_masks_of_equal_area_the_better_one_is_painted_last():
    worse = classed(["##..", "...."], 0, iou=0.5)
    better = classed([".##.", "...."], 1, iou=0.6)
    for masks in ([worse, better], [better, worse]):
        assert by_rising_area(masks) == [worse, better]


@settings(deadline=None)
@given(st.permutations(range(5)))
def test_orders_are_settled_by_content(order):
    masks = [
        classed(["##..", "...."], 0),
        classed(["..##", "...."], 0),
        classed(["....", "##.."], 0),
        classed(["#..#", "...."], 1),
        classed(["#.#.", "...."], 1),
    ]
    others = [masks[i] for i in order]
    assert by_rising_area(others) == by_rising_area(masks)
    for painting in ("quality", "generator"):
        assert in_order(others, painting) == in_order(masks, painting)


@pytest.mark.parametrize("size_hw", [(2, 4), (1, 1)])
def test_no_masks_paint_nothing(size_hw):
    painted = paint([], size_hw)
    assert painted.shape == size_hw
    assert painted.dtype == np.int32
    assert not painted.any()
