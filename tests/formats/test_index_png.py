"""Label and confidence PNGs: what is written, what is read, what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from formats.classes_json import default_palette
from formats.errors import InputRefused
from formats.index_png import (
    decode_grey_png,
    decode_label_png,
    encode_confidence_png,
    encode_label_png,
)
from formats.opening import ImageLimits
from tests.formats.samples import encoded, exif_bytes, noise, png_chunk, png_file

LIMITS = ImageLimits()
RED_GREEN = [(255, 0, 0), (0, 255, 0)]


def labels(num_classes: int) -> st.SearchStrategy[np.ndarray]:
    values = st.integers(0, num_classes - 1) | st.just(255)
    return hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=values)


@given(st.integers(1, 255).flatmap(lambda k: st.tuples(st.just(k), labels(k))))
def test_round_trip(case: tuple[int, np.ndarray]) -> None:
    num_classes, label = case
    data = encode_label_png(label, default_palette(num_classes))
    decoded = decode_label_png(data, LIMITS, num_classes)
    np.testing.assert_array_equal(decoded, label)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert encode_label_png(label.copy(order="F"), default_palette(num_classes)) == data


def test_the_file_is_an_8_bit_palette_png_with_a_colour_for_ignore() -> None:
    data = encode_label_png(np.array([[0, 1, 255]], np.uint8), RED_GREEN)
    width, height, depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    assert (width, height, depth, colour_type) == (3, 1, 8, 3)
    image = Image.open(io.BytesIO(data))
    assert image.convert("RGB").tobytes() == bytes([255, 0, 0, 0, 255, 0, 0, 0, 0])
    assert image.info == {}
    kinds = [data[at - 4 : at] for at in range(4, len(data)) if data[at - 4 : at].isalpha()]
    assert {b"tEXt", b"tIME", b"eXIf", b"tRNS"}.isdisjoint(kinds)


@pytest.mark.parametrize(
    ("label", "palette", "message"),
    [
        (np.array([[0, 2]], np.uint8), RED_GREEN, r"label holds \[2\]"),
        (np.array([[0, 1]], np.int64), RED_GREEN, "expected uint8"),
        (np.zeros((2, 2, 1), np.uint8), RED_GREEN, "expected uint8"),
        (np.zeros((0, 2), np.uint8), RED_GREEN, "expected uint8"),
        (np.zeros((1, 1), np.uint8), [(0, 0, 0)] * 256, "at most 255"),
    ],
)
def test_what_is_no_label_is_not_written(
    label: np.ndarray, palette: list[tuple[int, int, int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode_label_png(label, palette)


def test_confidence_round_trip() -> None:
    confidence = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode_confidence_png(confidence)
    np.testing.assert_array_equal(decode_grey_png(data, LIMITS), confidence)
    assert Image.open(io.BytesIO(data)).mode == "L"


def test_a_grey_map_is_8_bit_grey() -> None:
    for other in (noise(2, 2), np.zeros((2, 2), np.uint16)):
        with pytest.raises(InputRefused, match="8-bit grey PNG"):
            decode_grey_png(encoded(other, "PNG"), LIMITS)


def test_grey_labels_are_taken_by_value() -> None:
    label = np.array([[0, 3, 255]], np.uint8)
    assert decode_label_png(encoded(label, "PNG"), LIMITS, 4).tolist() == [[0, 3, 255]]


@pytest.mark.parametrize(
    ("depth", "packed", "expected"),
    [
        (1, 0b0110_0000, [0, 1, 1, 0]),
        (2, 0b00_01_10_11, [0, 1, 2, 3]),
        (4, 0x2B, [2, 11]),
    ],
)
@pytest.mark.parametrize("colour_type", [0, 3], ids=["grey", "palette"])
def test_short_samples_are_not_stretched(
    depth: int, packed: int, expected: list[int], colour_type: int
) -> None:
    palette = png_chunk(b"PLTE", bytes(3 * 2**depth)) if colour_type == 3 else b""
    row = bytes([0, packed])
    data = png_file(len(expected), 1, depth, colour_type, row, before=palette)
    assert decode_label_png(data, LIMITS).tolist() == [expected]


def test_sixteen_bit_labels_that_fit() -> None:
    label = np.array([[0, 7, 255]], np.uint16)
    decoded = decode_label_png(encoded(label, "PNG"), LIMITS, 8)
    assert decoded.dtype == np.uint8
    assert decoded.tolist() == [[0, 7, 255]]
    with pytest.raises(InputRefused, match="values 256, 1000;"):
        decode_label_png(encoded(np.array([[256, 1000]], np.uint16), "PNG"), LIMITS)


def test_the_stored_ignore_value_becomes_255() -> None:
    data = encoded(np.array([[0, 10, 11, 255]], np.uint8), "PNG")
    assert decode_label_png(data, LIMITS, 11, 11).tolist() == [[0, 10, 255, 255]]
    with pytest.raises(InputRefused, match="the values 11;"):
        decode_label_png(data, LIMITS, 11)


def test_a_wide_stored_ignore_value() -> None:
    data = encoded(np.array([[3, 65535]], np.uint16), "PNG")
    assert decode_label_png(data, LIMITS, 4, 65535).tolist() == [[3, 255]]


def test_values_out_of_range_are_named() -> None:
    data = encoded(np.arange(40, dtype=np.uint8).reshape(1, 40), "PNG")
    with pytest.raises(InputRefused) as caught:
        decode_label_png(data, LIMITS, 11, 12)
    assert caught.value.code == "label-invalid"
    assert caught.value.detail == (
        "The label holds the values 11, 13, 14, 15, 16, 17, 18, 19, 20, 21 and 18 more; "
        "class ids are 0 ... 10, ignored pixels 12 and 255."
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_mask_is_no_label(mode: str) -> None:
    data = encoded(Image.new(mode, (2, 2)), "PNG")
    with pytest.raises(InputRefused, match="colour mask") as caught:
        decode_label_png(data, LIMITS)
    assert caught.value.code == "label-invalid"
    assert "class ids" in str(caught.value.hint)


def test_grey_with_alpha_is_no_label() -> None:
    with pytest.raises(InputRefused, match="without an alpha channel"):
        decode_label_png(encoded(Image.new("LA", (2, 2)), "PNG"), LIMITS)


def test_only_png_is_a_label() -> None:
    with pytest.raises(InputRefused, match="content is JPEG.*send PNG"):
        decode_label_png(encoded(noise(8, 8), "JPEG"), LIMITS)
    with pytest.raises(InputRefused, match="empty"):
        decode_label_png(b"", LIMITS)


def test_a_truncated_label() -> None:
    data = encode_label_png(noise(30, 30)[..., 0] % 2, RED_GREEN)
    with pytest.raises(InputRefused, match="damaged or cut short"):
        decode_label_png(data[: len(data) * 3 // 4], LIMITS)


def test_an_index_png_is_a_matrix_without_orientation() -> None:
    data = png_file(3, 1, 8, 0, b"\x00\x00\x01\x02", before=png_chunk(b"eXIf", exif_bytes(6)))
    assert decode_label_png(data, LIMITS).tolist() == [[0, 1, 2]]


def test_the_palette_of_a_label_says_nothing() -> None:
    palette = png_chunk(b"PLTE", bytes([9, 9, 9] * 6)) + png_chunk(b"tRNS", b"\x00" * 6)
    data = png_file(2, 1, 8, 3, b"\x00\x05\x01", before=palette)
    assert decode_label_png(data, LIMITS, 6).tolist() == [[5, 1]]


def test_stored_labels_are_compressed() -> None:
    data = encode_label_png(np.zeros((200, 200), np.uint8), RED_GREEN)
    at = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, at - 4)
    assert len(zlib.decompress(data[at + 4 : at + 4 + length])) == 200 * 201
    assert length < 200
