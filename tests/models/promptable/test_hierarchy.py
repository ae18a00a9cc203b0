import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.promptable.hierarchy import merge_tree, nested_levels

SEGMENTS = np.array([[0, 0, 1, 2], [0, 0, 1, 2]], np.int32)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def test_neighbours_merge_by_area_and_colour():
    tree = merge_tree(SEGMENTS, grey(np.array([10, 12, 20])[SEGMENTS]))
    assert tree.parents.tolist() == [3, 3, 4, 4, -1]
    first = (4 * 2 / 6) ** 0.5 * 3 * 2**2
    mean = (4 * 10 + 2 * 12) / 6
    second = (6 * 2 / 8) ** 0.5 * 3 * (20 - mean) ** 2
    assert tree.heights == pytest.approx([0, 0, 0, first, second])
    levels = nested_levels(SEGMENTS, tree, [first - 1, first, second])
    assert [level[0].tolist() for level in levels] == [[0, 0, 1, 2], [3, 3, 3, 2], [4, 4, 4, 4]]


def test_segments_that_do_not_touch_never_merge_before_those_between_them():
    tree = merge_tree(SEGMENTS, grey(np.array([10, 90, 10])[SEGMENTS]))
    assert tree.parents[0] != tree.parents[2]


def test_one_segment_is_a_tree():
    tree = merge_tree(np.zeros((1, 3), np.int32), np.zeros((1, 3, 3), np.uint8))
    assert (tree.parents.tolist(), tree.heights.tolist()) == ([-1], [0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_equals_looking_for_the_least_difference_again_each_time(seed):
    rng = np.random.default_rng(seed)
    numbers = np.unique(rng.integers(0, 6, (4, 5)), return_inverse=True)[1]
    segments = numbers.reshape(4, 5).astype(np.int32)
    colours = rng.integers(0, 255, (4, 5, 3)).astype(np.uint8)
    tree = merge_tree(segments, colours)
    nodes = {int(n): segments == n for n in np.unique(segments)}
    heights = [0.0] * len(nodes)
    while len(nodes) > 1:
        found = [
            (_difference(nodes[a], nodes[b], colours), a, b)
            for a in nodes
            for b in nodes
            if a < b and _touch(nodes[a], nodes[b])
        ]
        difference, a, b = min(found)
        heights.append(max(difference, heights[a], heights[b]))
        assert tree.parents[a] == tree.parents[b] == len(heights) - 1
        nodes[len(heights) - 1] = nodes.pop(a) | nodes.pop(b)
    assert tree.heights == pytest.approx(heights)


def _difference(one: np.ndarray, other: np.ndarray, colours: np.ndarray) -> float:
    a, b = one.sum(), other.sum()
    distance = ((colours[one].mean(0) - colours[other].mean(0)) ** 2).sum()
    return float((a * b / (a + b)) ** 0.5 * distance)


def _touch(one: np.ndarray, other: np.ndarray) -> bool:
    near = np.zeros_like(one)
    near[1:] |= one[:-1]
    near[:-1] |= one[1:]
    near[:, 1:] |= one[:, :-1]
    near[:, :-1] |= one[:, 1:]
    return bool((near & other).any())
