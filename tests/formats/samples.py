"""Image files made in the test, from literal arrays and hand-made chunks."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image | np.ndarray, image_format: str, **options: Any) -> bytes:
    """Return an image, or a uint8/uint16 array, as a file of that format."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    """Return a random RGB image, the same one for the same size."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_file(
    width: int,
    height: int,
    bit_depth: int,
    colour_type: int,
    rows: bytes,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Return a PNG by hand; `rows` are unpacked scanlines, each led by its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"".join(
        (
            PNG_SIGNATURE,
            png_chunk(b"IHDR", header),
            before,
            png_chunk(b"IDAT", zlib.compress(rows, 9)),
            after,
            png_chunk(b"IEND", b""),
        )
    )


def exif_bytes(orientation: int) -> bytes:
    """Return a TIFF structure that states an EXIF orientation, without the `Exif` prefix."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


def tiff_file(tags: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """Return a little-endian TIFF of one directory; tags are (id, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    return head + entries + struct.pack("<I", 0) + tail
