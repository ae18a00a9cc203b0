from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.painting import PROPOSAL, ClassedMask, in_order, paint, without_overlaps
from models.rle import Rle


def classed(
    drawing: Any, class_id: Any = 0, *, iou: Any = 1.0, score: Any = 1.0, prompt: Any = PROPOSAL
) -> Any:
    rle = Rle.encode(np.array([[c == "#" for c in row] for row in drawing]))
    return ClassedMask(rle, rle.area_px, rle.box_xyxy(), class_id, iou, score, prompt)


BIG = classed(["####", "####"], 0, iou=0.9, score=0.9)
SMALL = classed([".##.", "...."], 1, iou=0.8, score=0.8)
TINY = classed(["..#.", "...."], 2, iou=0.7, score=0.7)


def test_smaller_masks_are_painted_over_larger_ones():
    order = in_order([TINY, BIG, SMALL], "area")
    assert order == [BIG, SMALL, TINY]
    assert paint(order, (2, 4)).tolist() == [[1, 2, 3, 1], [1, 1, 1, 1]]


def test_of_masks_of_equal_area_the_better_one_is_painted_last():
    worse = classed(["##..", "...."], 0, score=0.5)
    better = classed([".##.", "...."], 1, score=0.6)
    for masks in ([worse, better], [better, worse]):
        assert in_order(masks, "area") == [worse, better]


def test_by_quality_the_best_estimate_is_painted_last_and_answers_after_proposals():
    answer = classed(["#...", "...."], 3, iou=0.1, prompt=0)
    assert in_order([answer, BIG, TINY, SMALL], "quality") == [TINY, SMALL, BIG, answer]


def test_the_public_code_paints_the_best_proposal_first_and_answers_by_rising_class():
    answers = [classed(["#...", "...."], c, prompt=p) for c, p in ((5, 2), (3, 1), (3, 0))]
    order = in_order([*answers, TINY, BIG, SMALL], "generator")
    assert order == [BIG, SMALL, TINY, answers[2], answers[1], answers[0]]


def test_of_near_duplicates_of_different_classes_the_better_one_is_left():
    good = classed(["###.", "###."], 0, score=0.9)
    bad = classed(["###.", "##.."], 1, score=0.8)  # IoU 5/6
    same_class = classed([".##.", "###."], 0, score=0.7)
    for masks in ([good, bad, same_class], [same_class, bad, good]):
        assert set(without_overlaps(masks, 0.8)) == {good, same_class}
        assert set(without_overlaps(masks, 5 / 6)) == {good, bad, same_class}
    assert without_overlaps([], 0.5) == []


def test_a_dropped_mask_drops_no_others():
    best = classed(["####", "...."], 0, score=0.9)
    middle = classed(["####", "##.."], 1, score=0.8)  # IoU 4/6 with the best
    last = classed([".###", "##.."], 2, score=0.7)  # 5/6 with the middle, 3/6 with the best
    assert set(without_overlaps([last, middle, best], 0.6)) == {best, last}


def test_a_small_mask_inside_a_large_one_is_no_duplicate():
    assert set(without_overlaps([BIG, SMALL, TINY], 0.7)) == {BIG, SMALL, TINY}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.5, 0.8]))
def test_dropping_equals_a_comparison_of_all_pairs(seed, most_iou):
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(8):
        drawing = np.zeros((6, 6), bool)
        y, x = rng.integers(0, 3, 2)
        drawing[y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] = True
        drawing &= rng.random((6, 6)) < 0.9
        drawing[y, x] = True
        rle = Rle.encode(drawing)
        score = float(rng.integers(1, 4)) / 4
        class_id = int(rng.integers(0, 3))
        masks.append(ClassedMask(rle, rle.area_px, rle.box_xyxy(), class_id, 1, score, PROPOSAL))
    left: list[ClassedMask] = []
    for mask in sorted(masks, key=lambda m: (-m.score, *m.content)):
        pixels = mask.rle.decode()
        overlaps = [
            (pixels & other.rle.decode()).sum() / (pixels | other.rle.decode()).sum()
            for other in left
            if other.class_id != mask.class_id
        ]
        if not any(o > most_iou for o in overlaps):
            left.append(mask)
    assert without_overlaps(masks, most_iou) == left


@settings(deadline=None)
@given(st.permutations(range(5)), st.sampled_from(["area", "quality", "generator"]))
def test_orders_are_settled_by_content(order, painting):
    masks = [
        classed(["##..", "...."], 0),
        classed(["..##", "...."], 0),
        classed(["....", "##.."], 0),
        classed(["#..#", "...."], 1),
        classed(["#.#.", "...."], 1),
    ]
    assert in_order([masks[i] for i in order], painting) == in_order(masks, painting)


@pytest.mark.parametrize("size_hw", [(2, 4), (1, 1)])
def test_no_masks_paint_nothing(size_hw):
    painted = paint([], size_hw)
    assert painted.shape == size_hw
    assert painted.dtype == np.int32
    assert not painted.any()
