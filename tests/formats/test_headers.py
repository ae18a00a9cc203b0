"""Header facts read by hand agree with what Pillow finds by decoding."""

import io

import pytest
from PIL import Image

from formats.headers import png_bit_depth, png_has_late_orientation, webp_size
from tests.formats.samples import encoded, exif_bytes, noise, png_chunk, png_file


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": b"Exif\0\0" + exif_bytes(1)}, {"save_all": True}]
)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (300, 7), (13, 1025)])
def test_webp_size(options: dict[str, object], height: int, width: int) -> None:
    assert webp_size(encoded(noise(height, width), "WEBP", **options)[:30]) == (width, height)


def test_webp_size_of_something_else() -> None:
    assert webp_size(b"RIFF\x10\x00\x00\x00WEBPVP8 ") is None
    assert webp_size(b"RIFF\x10\x00\x00\x00WEBPXXXX" + bytes(20)) is None


EXIF = png_chunk(b"eXIf", exif_bytes(6))
COMMENT = png_chunk(b"tEXt", b"date:create\x002026-11-05")


@pytest.mark.parametrize(
    ("before", "after", "late"),
    [
        (b"", b"", False),
        (EXIF, b"", False),
        (b"", EXIF, True),
        (b"", COMMENT, False),
        (COMMENT, COMMENT + EXIF, True),
        (b"", png_chunk(b"zTXt", b"Raw profile type exif\x00\x00..."), True),
        (png_chunk(b"prIv", b"") * 100_000, b"", True),
    ],
)
def test_png_has_late_orientation(before: bytes, after: bytes, late: bool) -> None:
    data = png_file(1, 1, 8, 0, b"\x00\x07", before, after)
    assert png_has_late_orientation(io.BytesIO(data)) is late


def test_png_bit_depth() -> None:
    assert png_bit_depth(png_file(1, 1, 4, 0, b"\x00\x70")) == 4
    assert png_bit_depth(encoded(Image.new("L", (1, 1)), "PNG")) == 8
