import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from models.rle import Rle

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.mark.parametrize(
    ("rows", "counts", "box_xyxy"),
    [
        ([[0, 0], [0, 0]], [4], (0, 0, 0, 0)),
        ([[1, 1], [1, 1]], [0, 4], (0, 0, 2, 2)),
        # Runs go down the columns.
        ([[0, 1], [1, 0]], [1, 2, 1], (0, 0, 2, 2)),
        ([[0, 0, 0], [0, 1, 0], [0, 1, 0]], [4, 2, 3], (1, 1, 2, 3)),
        ([[0, 0, 0], [0, 1, 1], [0, 0, 0]], [4, 1, 2, 1, 1], (1, 1, 3, 2)),
        ([[1, 0, 0]], [0, 1, 2], (0, 0, 1, 1)),
        ([[0], [0], [1]], [2, 1], (0, 2, 1, 3)),
    ],
)
def test_counts_and_box(rows, counts, box_xyxy):
    mask = np.array(rows, dtype=bool)
    rle = Rle.encode(mask)
    assert rle.size_hw == mask.shape
    assert rle.counts.dtype == np.uint32
    assert rle.counts.tolist() == counts
    assert rle.box_xyxy() == box_xyxy
    assert rle.area_px == mask.sum()
    np.testing.assert_array_equal(rle.decode(), mask)


@given(MASKS)
def test_a_mask_comes_back(mask):
    rle = Rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(), mask)
    np.testing.assert_array_equal(rle.pixels(), np.flatnonzero(mask.ravel(order="F")))
    assert (rle.counts[1:] > 0).all()
    assert int(rle.counts.sum()) == mask.size


@given(MASKS)
def test_the_box_is_tight(mask):
    x0, y0, x1, y1 = Rle.encode(mask).box_xyxy()
    if not mask.any():
        assert (x0, y0, x1, y1) == (0, 0, 0, 0)
        return
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (x0, y0, x1, y1) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


@given(MASKS, st.booleans())
def test_coco_reads_what_we_write(mask, fortran):
    given_mask = np.asfortranarray(mask) if fortran else mask
    coco = Rle.encode(given_mask).to_coco()
    assert coco["size"] == list(mask.shape)
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert coco["counts"] == theirs["counts"].decode("ascii")
    np.testing.assert_array_equal(coco_mask.decode(coco), mask)
