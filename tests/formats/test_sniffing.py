"""Kinds of files from their first bytes, and names that promise another."""

import pytest

from formats.sniffing import HEAD_BYTES, name_mismatch, sniff_media
from tests.formats.samples import encoded, noise


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_real_files(image_format: str) -> None:
    assert sniff_media(encoded(noise(2, 2), image_format)[:HEAD_BYTES]) == image_format


def test_big_tiff() -> None:
    assert sniff_media(encoded(noise(2, 2), "TIFF", big_tiff=True)[:HEAD_BYTES]) == "TIFF"


@pytest.mark.parametrize("head", [b"", b"\x89PNG", b"hello world, this is text", b"RIFFxxxxWAVE"])
def test_unknown(head: bytes) -> None:
    assert sniff_media(head) is None


def test_a_video_is_named_as_one() -> None:
    assert sniff_media(b"\x00\x00\x00\x18ftypmp42") == "a video or ISO media file"


@pytest.mark.parametrize(
    ("name", "media"),
    [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("d/a.tif", "TIFF"), ("a", "PNG"), ("a.v2", "PNG")],
)
def test_names_that_fit_or_promise_nothing(name: str, media: str) -> None:
    assert name_mismatch(name, media) is None


def test_a_name_that_promises_another_kind() -> None:
    assert name_mismatch("a.png", "JPEG") == (
        "The name ends in .png, the content is JPEG; it is read as JPEG."
    )
