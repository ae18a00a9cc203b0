"""Files that are no good images: each gets a reason, and the good ones beside it are labelled."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.support.api import get_items, get_job, get_png, nonzero, post_images
from tests.support.images import image_array, jpeg_bytes, png_bytes
from tests.support.installation import Installation


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_png() -> bytes:
    """A grey PNG of 20000 × 20000 pixels, all of them 0, in some ten kilobytes."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    compressor = zlib.compressobj(9)
    row = bytes(1 + 20_000 // 8)
    data = b"".join(compressor.compress(row) for _ in range(20_000)) + compressor.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def rotated_jpeg() -> bytes:
    """32 × 24 as stored, to be shown turned by 90°, hence 24 × 32 upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(image_array(3)), "JPEG", exif=exif.tobytes())


GREY = Image.fromarray(image_array(1)).convert("L")
REFUSED = {
    "text.png": (b"just a text, nothing else in it", "not-an-image"),
    "empty.png": (b"", "empty-file"),
    "page.pdf": (b"%PDF-1.7 ....................", "unsupported-media"),
    "header-only.png": (png_bytes(1)[:20], "image-undecodable"),
    "huge.png": (huge_png(), "image-too-large"),
}
USABLE = {
    "good.png": (png_bytes(0), (24, 32)),
    "really-a-jpeg.png": (jpeg_bytes(2), (24, 32)),
    "one.png": (png_bytes(4, 1, 1), (1, 1)),
    "odd.png": (png_bytes(5, 33, 17), (33, 17)),
    "line.png": (png_bytes(6, 1, 70), (1, 70)),
    "grey.png": (saved(GREY, "PNG"), (24, 32)),
    "sixteen.png": (
        saved(Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32) * 80), "PNG"),
        (24, 32),
    ),
    "cmyk.jpg": (saved(Image.fromarray(image_array(7)).convert("CMYK"), "JPEG"), (24, 32)),
    "palette.png": (
        saved(Image.fromarray(image_array(8)).quantize(16), "PNG", transparency=3),
        (24, 32),
    ),
    "rotated.jpg": (rotated_jpeg(), (32, 24)),
}


class TestBadInput:
    def test_each_gets_a_reason_and_the_others_a_label(self, tiny_site: Installation) -> None:
        files = {name: data for name, (data, _) in (REFUSED | USABLE).items()}
        assert len(files["huge.png"]) < 60_000
        files["cut.png"] = png_bytes(9)[:-60]  # found only when it is decoded
        created = post_images(tiny_site, files)
        report = {f["file_name"]: f for f in created["image_set"]["files"]}
        for name, (_, code) in REFUSED.items():
            assert (report[name]["status"], report[name]["problem"]["code"]) == ("rejected", code)
            assert len(report[name]["problem"]["detail"]) > 20
        assert "read as JPEG" in report["really-a-jpeg.png"]["note"]
        tiny_site.settle()
        job_id = created["job"]["id"]
        job = get_job(tiny_site, job_id)
        assert job["status"] == "partial"
        assert nonzero(job["counts"]) == {"total": 16, "succeeded": 10, "failed": 1, "skipped": 5}
        items = get_items(tiny_site, job_id)
        assert items["cut.png"]["error"]["code"] == "image-undecodable"
        assert items["huge.png"]["error"]["code"] == "image-too-large"
        for name, (_, size_hw) in USABLE.items():
            assert get_png(tiny_site, items[name]["label_id"]).shape == size_hw
            confidence = get_png(tiny_site, items[name]["label_id"], "confidence.png")
            assert confidence.shape == size_hw
            assert (report[name]["height_px"], report[name]["width_px"]) == size_hw

    def test_duplicates_by_content_and_by_name(self, tiny_site: Installation) -> None:
        same, other = png_bytes(1), png_bytes(2)
        created = post_images(tiny_site, [("a.png", same), ("b.png", same), ("a.png", other)])
        files = created["image_set"]["files"]
        assert [(f["external_id"], f["status"], f["duplicate_of"]) for f in files] == [
            ("a.png", "accepted", None),
            ("b.png", "duplicate", "a.png"),
            ("a (2).png", "accepted", None),
        ]
        assert "listed as 'a (2).png'" in files[2]["note"]
        tiny_site.settle()
        items = get_items(tiny_site, created["job"]["id"])
        assert items["a.png"]["label_id"] == items["b.png"]["label_id"]
        assert items["a (2).png"]["label_id"] != items["a.png"]["label_id"]

    def test_only_bad_files(self, tiny_site: Installation) -> None:
        answer = tiny_site.client.post(
            "/v1/pseudo-labels",
            files=[("files", ("a.png", b"")), ("files", ("b.txt", b"hello, no image here"))],
            data={"model": "tiny"},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "no-usable-image")
        assert [e["pointer"] for e in answer.json()["errors"]] == ["a.png", "b.txt"]
        assert tiny_site.client.get("/v1/jobs").json()["jobs"] == []

    @pytest.mark.parametrize(
        ("data", "code"),
        [(b"PK\x03\x04 and then nothing of a zip", "not-an-archive")],
    )
    def test_broken_zip(self, tiny_site: Installation, data: bytes, code: str) -> None:
        answer = tiny_site.client.post("/v1/image-sets", files=[("files", ("a.zip", data))])
        assert (answer.status_code, answer.json()["code"]) == (422, code)
