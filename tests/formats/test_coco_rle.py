from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from formats.coco_rle import (
    bounding_box,
    compress,
    compress_all,
    encode_classes,
    encode_mask,
    mask_pixels,
    run_lengths,
)
from formats.runs import column_runs

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


def expand(counts: str) -> list[int]:
    """Runs of a compressed string, one character after the other, as COCO's `rleFrString`."""
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            character = ord(counts[position]) - 48
            assert 0 <= character < 64
            value |= (character & 0x1F) << shift
            more = bool(character & 0x20)
            position += 1
            shift += 5
            if not more and character & 0x10:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
    return runs


def paint(height: int, width: int, runs: list[int]) -> np.ndarray:
    """The mask of runs, pixel by pixel, down the columns."""
    assert sum(runs) == height * width
    mask = np.zeros((height, width), bool)
    at, value = 0, False
    for run in runs:
        for _ in range(run):
            mask[at % height, at // height] = value
            at += 1
        value = not value
    return mask


def block(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


# What pycocotools 2.0.11 makes of these masks.
BY_PYCOCOTOOLS: list[Any] = [
    (block(4, 5, slice(1, 3), slice(2, 4)), "92203"),
    (np.ones((3, 2), bool), "06"),
    (np.zeros((3, 2), bool), "6"),
    (np.indices((9, 9)).sum(axis=0) % 2 == 0, "011" + "0" * 79),
    (
        block(1000, 3, slice(100, 950), slice(None))
        & ~block(1000, 3, slice(400, 500), slice(None)),
        "T3\\9T3f4b1ZK^Nf4b1ZK^Nf4^N",
    ),
]


@pytest.mark.parametrize(("mask", "counts"), BY_PYCOCOTOOLS)
def test_as_pycocotools(mask: np.ndarray, counts: str) -> None:
    assert encode_mask(mask) == {"size": list(mask.shape), "counts": counts}


@given(MASKS)
def test_any_mask_comes_back(mask: np.ndarray) -> None:
    encoded = encode_mask(mask)
    assert encoded["size"] == list(mask.shape)
    height, width = mask.shape
    assert (paint(height, width, expand(encoded["counts"])) == mask).all()


@given(MASKS)
def test_runs_alternate(mask: np.ndarray) -> None:
    runs = run_lengths(mask).tolist()
    assert sum(runs) == mask.size
    assert all(run > 0 for run in runs[1:])
    assert (runs[0] == 0) == mask[0, 0]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=12))
def test_any_runs_come_back(runs: list[int]) -> None:
    assert expand(compress(np.array(runs, np.int64))) == runs


@given(MASKS)
def test_boxes(mask: np.ndarray) -> None:
    x, y, width, height = bounding_box(mask)
    assert mask[y : y + height, x : x + width].sum() == mask.sum()
    if mask.any():
        inside = mask[y : y + height, x : x + width]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_no_pixels() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        encode_mask(np.zeros((0, 3), bool))


class TestMaskPixels:
    @given(MASKS)
    def test_pixels_of_a_mask(self, mask: np.ndarray) -> None:
        found = np.zeros(mask.size, bool)
        found[mask_pixels(encode_mask(mask)["counts"], mask.size)] = True
        np.testing.assert_array_equal(found.reshape(mask.shape, order="F"), mask)

    @pytest.mark.parametrize("text", ["", "é", "\n", "q~", "P" * 20 + "0", "P", "O", "0\x00"])
    def test_what_is_no_such_string(self, text: str) -> None:
        with pytest.raises(ValueError, match="."):
            mask_pixels(text, 4)

    def test_another_size(self) -> None:
        with pytest.raises(ValueError, match="add up"):
            mask_pixels(encode_mask(np.ones((2, 2), bool))["counts"], 5)


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))
)
def test_classes_of_a_label_are_the_masks_of_it(label):
    codes = encode_classes(label.shape, column_runs(label), range(4))
    assert codes == [encode_mask(label == class_id) for class_id in range(4)]


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=1, max_size=6), max_size=5))
def test_several_masks_are_each_as_one(masks: list[list[int]]) -> None:
    arrays_of_runs = [np.array(runs, np.int64) for runs in masks]
    assert compress_all(arrays_of_runs) == [compress(runs) for runs in arrays_of_runs]
    assert [expand(text) for text in compress_all(arrays_of_runs)] == masks
