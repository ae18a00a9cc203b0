import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from formats.exports.pngs import mask_png, png_of

PALETTE = [channel for n in range(256) for channel in (n, 255 - n, 7)]


def read(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 255))
)
def test_another_reader_finds_every_value(values):
    grey, indices = read(png_of(values)), read(png_of(values, PALETTE))
    assert (grey.mode, indices.mode) == ("L", "P")
    np.testing.assert_array_equal(np.asarray(grey), values)
    np.testing.assert_array_equal(np.asarray(indices), values)
    assert indices.getpalette() == PALETTE


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 2)])
def test_wide_values_and_colours(shape):
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 65536, shape).astype(np.uint16)
    np.testing.assert_array_equal(np.asarray(read(png_of(wide))), wide)
    colours = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(read(png_of(colours))), colours)


def test_a_view_that_is_not_contiguous():
    values = np.arange(48, dtype=np.uint8).reshape(6, 8)[::2, ::-1]
    np.testing.assert_array_equal(np.asarray(read(png_of(values))), values)


def test_a_mask():
    mask = np.array([[True, False]])
    assert np.asarray(read(mask_png(mask))).tolist() == [[255, 0]]
