"""What is refused before a pixel is decoded, and in which words."""

import io
import struct
import threading
import time
import tracemalloc
import zlib
from typing import NoReturn

import pytest
from PIL import Image, ImageFile

from formats.decode import decode_image, inspect_image
from formats.errors import InputRefused
from formats.opening import ImageLimits, opened_image
from tests.formats.samples import encoded, noise, png_chunk, png_file, tiff_file

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
LIMITS = ImageLimits()


def refusals(data: bytes, limits: ImageLimits = LIMITS) -> tuple[InputRefused, InputRefused]:
    with pytest.raises(InputRefused) as at_ingest:
        inspect_image(io.BytesIO(data), limits)
    with pytest.raises(InputRefused) as at_work:
        decode_image(data, limits)
    return at_ingest.value, at_work.value


def bomb_png(side: int) -> bytes:
    """Return a PNG of side x side black pixels, 1 bit each: some kB."""
    row = b"\x00" + bytes((side + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "empty-file", "0 bytes"),
        (b"not an image at all", "not-an-image", "JPEG, PNG"),
        (b"\x00", "not-an-image", "JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image", "JPEG, PNG"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "unsupported-media", "GIF"),
        (b"%PDF-1.7", "unsupported-media", "PDF"),
        (b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00", "unsupported-media", "HEIC"),
        (b"PK\x03\x04" + bytes(40), "unsupported-media", "ZIP"),
        (b"\x89PNG\r\n\x1a\n", "image-undecodable", "PNG"),
        (b"\xff\xd8\xff\xe0", "image-undecodable", "JPEG"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image-undecodable", "WEBP"),
        (b"II*\x00\x08\x00\x00\x00", "image-undecodable", "TIFF"),
        (b"BM" + bytes(60), "image-undecodable", "BMP"),
    ],
)
def test_no_image(data: bytes, code: str, says: str) -> None:
    for refused in refusals(data):
        assert refused.code == code
        assert says in refused.detail


def test_a_400_megapixel_png_of_a_few_kilobytes() -> None:
    data = bomb_png(20_000)
    assert len(data) < 100_000
    tracemalloc.start()
    started = time.perf_counter()
    for refused in refusals(data):
        assert refused.code == "image-too-large"
        assert "64 megapixels" in refused.detail
    assert time.perf_counter() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_bomb_below_pillows_own_limit() -> None:
    for refused in refusals(bomb_png(9_000)):
        assert refused.code == "image-too-large"
        assert "9000 x 9000 = 81.0 megapixels" in refused.detail


def test_a_webp_that_only_claims_its_canvas() -> None:
    canvas = (16_000 - 1).to_bytes(3, "little") * 2
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    for refused in refusals(data):
        assert refused.code == "image-too-large"
        assert "16000 x 16000" in refused.detail


def test_limits_are_inclusive() -> None:
    data = encoded(noise(4, 6), "PNG")
    decode_image(data, ImageLimits(max_pixels=24, max_side_px=6, max_bytes=len(data)))
    for limits in (
        ImageLimits(max_pixels=23),
        ImageLimits(max_side_px=5),
        ImageLimits(max_bytes=len(data) - 1),
    ):
        for refused in refusals(data, limits):
            assert refused.code == "image-too-large"


def test_limits_that_cannot_be_kept_are_no_limits() -> None:
    for options in ({"max_pixels": 0}, {"max_pixels": 200_000_000}, {"max_side_px": 0}):
        with pytest.raises(ValueError, match="must be"):
            ImageLimits(**options)


def test_a_compressed_text_bomb() -> None:
    text = b"Comment\x00\x00" + zlib.compress(bytes(50_000_000), 9)
    data = png_file(1, 1, 8, 0, b"\x00\x07", before=png_chunk(b"zTXt", text))
    assert len(data) < 60_000
    for refused in refusals(data):
        assert refused.code == "image-undecodable"


def test_a_text_bomb_behind_the_pixels_is_met_by_the_decoder() -> None:
    text = b"Comment\x00\x00" + zlib.compress(bytes(50_000_000), 9)
    data = png_file(1, 1, 8, 0, b"\x00\x07", after=png_chunk(b"zTXt", text))
    with pytest.raises(InputRefused, match="PNG file is damaged"):
        decode_image(data, LIMITS)


def test_a_chunk_with_a_wrong_checksum() -> None:
    data = bytearray(png_file(1, 1, 8, 0, b"\x00\x07", before=png_chunk(b"tEXt", b"a\x00b")))
    at = data.index(b"tEXt")
    data[at + 4] ^= 1
    for refused in refusals(bytes(data)):
        assert refused.code == "image-undecodable"


def exif_segments(count: int) -> bytes:
    jpeg = encoded(noise(8, 8), "JPEG")
    payload = b"Exif\x00\x00" + bytes(65_527)
    return (
        jpeg[:2] + (b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload) * count + jpeg[2:]
    )


def tile_table(count: int) -> bytes:
    values = {256: 8000, 257: 8000, 258: 8, 259: 1, 262: 1, 277: 1, 322: 1, 323: 1}
    tags = [(tag, 4, 1, value) for tag, value in values.items()]
    return tiff_file([*tags, (324, 4, count, 8 + 2 + 12 * 9 + 4)], bytes(4 * count))


@pytest.mark.parametrize(
    "data",
    [
        exif_segments(300),
        png_file(1, 1, 8, 0, b"\x00\x07", before=png_chunk(b"prIv", b"") * 400_000),
        tile_table(1_000_000),
        b"\xff\xd8\xff" + b"\x00" * 1_000_000,
    ],
    ids=["exif-segments", "empty-chunks", "tile-offsets", "junk"],
)
def test_metadata_that_costs_more_than_the_image(data: bytes) -> None:
    started = time.perf_counter()
    for refused in refusals(data):
        assert refused.code == "image-too-large"
        assert "metadata" in refused.detail
    assert time.perf_counter() - started < 20


def test_usual_metadata_passes() -> None:
    assert decode_image(exif_segments(40), LIMITS).shape == (8, 8, 3)


def test_a_disk_that_fails_is_no_fault_of_the_image() -> None:
    class FailingDisk(io.BytesIO):
        def read(self, size: int | None = -1) -> NoReturn:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        inspect_image(FailingDisk(encoded(noise(2, 2), "PNG")), LIMITS)


def test_nothing_global_is_changed() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    seen = []

    def look(data: bytes) -> None:
        with opened_image(io.BytesIO(data), LIMITS) as image:
            seen.append((Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES))
            image.load()

    thread = threading.Thread(target=look, args=(encoded(noise(4, 4), "PNG"),))
    thread.start()
    thread.join()
    assert seen == [before]
    assert before[1] is False
