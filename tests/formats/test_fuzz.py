"""Whatever the bytes are, the answer is an array or a refusal, never another error."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from formats.archive_rules import ArchiveLimits
from formats.archives import iter_zip_members
from formats.classes_json import parse_classes_json
from formats.decode import decode_image, inspect_image
from formats.errors import InputRefused
from formats.index_png import decode_label_png
from formats.opening import ImageLimits
from tests.formats.samples import encoded, noise
from tests.formats.test_archives import zip_bytes

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
LIMITS = ImageLimits(max_pixels=200_000)
IMAGE = Image.fromarray(noise(13, 11))
EXIF = Image.Exif()
EXIF[0x0112] = 6

SEEDS = [
    *(encoded(IMAGE, image_format) for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")),
    *(encoded(IMAGE, image_format, exif=EXIF) for image_format in ("JPEG", "PNG", "WEBP", "TIFF")),
    encoded(IMAGE.convert("CMYK"), "JPEG"),
    encoded(IMAGE, "JPEG", progressive=True),
    encoded(IMAGE.quantize(5), "PNG"),
    encoded(IMAGE.quantize(5), "BMP"),
    encoded(IMAGE.convert("RGBA"), "PNG"),
    encoded(np.full((5, 7), 40_000, np.uint16), "PNG"),
    encoded(IMAGE, "TIFF", compression="tiff_lzw"),
    encoded(IMAGE, "TIFF", compression="tiff_adobe_deflate"),
    encoded(IMAGE, "TIFF", save_all=True, append_images=[IMAGE]),
    encoded(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(90)]),
    encoded(IMAGE, "MPO", save_all=True, append_images=[IMAGE]),
]


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw a valid file with a few bytes set, cut out, put in, or cut off."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, min(len(data), draw(st.sampled_from([40, 200, 10**6])))))
        kind = draw(st.sampled_from(["set", "set", "number", "cut", "put", "end"]))
        if kind == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "number":
            data[at : at + 4] = draw(st.integers(0, 2**32 - 1)).to_bytes(4, "little")
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            del data[at:]
    return bytes(data)


def check_image(data: bytes) -> None:
    header = None
    try:
        header = inspect_image(io.BytesIO(data), LIMITS)
        decoded = decode_image(data, LIMITS)
    except InputRefused:
        return
    assert decoded.dtype == np.uint8
    assert decoded.shape == (header.height_px, header.width_px, 3)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for prefix in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"BM"):
        check_image(prefix + data)
    with pytest.raises(InputRefused):
        list(iter_zip_members(io.BytesIO(data), ArchiveLimits()))
    with pytest.raises(InputRefused):
        parse_classes_json(data)


@settings(max_examples=1500, deadline=None)
@given(mutations(SEEDS))
def test_mutated_images(data: bytes) -> None:
    check_image(data)


@settings(max_examples=300, deadline=None)
@given(mutations([encoded(IMAGE.quantize(5), "PNG"), encoded(IMAGE.convert("L"), "PNG")]))
def test_mutated_labels(data: bytes) -> None:
    try:
        label = decode_label_png(data, LIMITS, num_classes=5)
    except InputRefused:
        return
    assert set(np.unique(label)) <= {0, 1, 2, 3, 4, 255}


@settings(max_examples=500, deadline=None)
@given(mutations([zip_bytes({"a/b.png": b"hello" * 30, "c.png": bytes(200)})]))
def test_mutated_archives(data: bytes) -> None:
    with contextlib.suppress(InputRefused):
        for member in iter_zip_members(io.BytesIO(data), ArchiveLimits()):
            with contextlib.suppress(InputRefused), member.open() as stream:
                assert len(stream.read()) == member.size_bytes
