"""Images that mean harm, or came to some: each ends with a label or with a reason, none harms
another, and nothing is answered with a 5xx."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from tests.formats.samples import encoded, png_chunk, png_file, tiff_file
from tests.support.api import get_items, get_job, get_png, nonzero, post_images
from tests.support.images import image_array, jpeg_bytes, png_bytes, zip_bytes
from tests.support.installation import Installation

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
GOOD = {"good-1.png": png_bytes(100), "good-2.jpg": jpeg_bytes(101)}
FRAMES = [Image.fromarray(image_array(seed)) for seed in (1, 2, 3)]
IMAGE = FRAMES[0]
ENDINGS = {"succeeded", "failed", "skipped"}


def animated(image_format: str, **options: Any) -> bytes:
    return encoded(
        FRAMES[0], image_format, save_all=True, append_images=FRAMES[1:], duration=40, **options
    )


def with_text(kind: str, size_bytes: int) -> bytes:
    """A PNG with a text chunk in front of its pixels."""
    text = PngImagePlugin.PngInfo()
    if kind == "zTXt":
        text.add_text("Comment", "x" * size_bytes, zip=True)
    elif kind == "iTXt":
        text.add_itxt("Comment", "x" * size_bytes)
    else:
        text.add_text("Comment", "x" * size_bytes)
    return encoded(IMAGE, "PNG", pnginfo=text)


def with_many_texts(count: int) -> bytes:
    chunks = b"".join(png_chunk(b"tEXt", b"k%d\x00v" % i) for i in range(count))
    return png_file(2, 1, 8, 0, b"\x00\x10\x20", before=chunks)


def with_segment(data: bytes, marker: int, change: Any) -> bytes:
    """A JPEG with the content of its first segment of a kind replaced."""
    at = data.index(bytes([0xFF, marker]))
    size = struct.unpack(">H", data[at + 2 : at + 4])[0]
    new = change(data[at + 4 : at + 2 + size])
    return data[: at + 2] + struct.pack(">H", len(new) + 2) + new + data[at + 2 + size :]


def bad_huffman(code: bytes) -> bytes:
    return with_segment(jpeg_bytes(3), 0xC4, lambda table: table[:1] + code + table[17:])


def jpeg_with(sampling: int) -> bytes:
    """A JPEG whose frame header asks for impossible sampling factors."""
    return with_segment(jpeg_bytes(4), 0xC0, lambda sof: sof[:7] + bytes([sampling]) + sof[8:])


def png_with_bad_checksum() -> bytes:
    data = bytearray(png_bytes(5))
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    data[at + 4 + length] ^= 0xFF
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose pixels are those of another size."""
    good = png_bytes(6)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return good[:8] + png_chunk(b"IHDR", header) + good[33:]


def pixels_that_unpack_to_more() -> bytes:
    """An IDAT of 60 MB of zeros behind a header of 2 × 1 pixels."""
    header = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(60_000_000), 9)
    parts = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", data), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def looped_tiff() -> bytes:
    """A TIFF whose next page is itself."""
    tags = [(256, 4, 1, 2), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, 8 + 2 + 8 * 12 + 4), (277, 3, 1, 1), (279, 4, 1, 2)]  # fmt: skip
    data = bytearray(tiff_file(tags, b"\x10\x20"))
    struct.pack_into("<I", data, 8 + 2 + 8 * 12, 8)
    return bytes(data)


def tiff_of(tag: int, value: int) -> bytes:
    """A TIFF of 2 × 1 pixels with one tag that lies."""
    values = {256: 2, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8 + 2 + 8 * 12 + 4, 277: 1, 279: 2}
    tags = [(k, 4, 1, value if k == tag else v) for k, v in values.items()]
    return tiff_file(tags, b"\x10\x20")


POLYGLOTS = {
    "png-and-zip.png": png_bytes(7) + zip_bytes({"evil.png": png_bytes(8)}),
    "jpeg-and-html.jpg": jpeg_bytes(9) + b"<script>alert(1)</script>",
    "jpeg-and-pdf.jpg": jpeg_bytes(10) + b"%PDF-1.7\n%%EOF",
    "jpeg-and-php.jpg": with_segment(
        encoded(IMAGE, "JPEG", comment=b"x"), 0xFE, lambda _: b"<?php system($_GET[0]); ?>"
    ),
    "png-and-jpeg.png": png_bytes(11) + jpeg_bytes(12),
}
ANIMATED = {
    "moving.png": animated("PNG"),
    "moving.webp": animated("WEBP", lossless=True),
    "pages.tif": encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]),
}
REFUSED = {
    "moving.gif": (animated("GIF"), "unsupported-media"),
    "gif-and-zip.gif": (
        animated("GIF") + zip_bytes({"a.png": png_bytes(1)}),
        "unsupported-media",
    ),
    "page.html": (b"<html><img src=x onerror=alert(1)></html>", "not-an-image"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not-an-image"),
    "shell.png": (b"#!/bin/sh\nrm -rf /\n" + bytes(100), "not-an-image"),
    "text-9MB.png": (with_text("tEXt", 9_000_000), "image-too-large"),
    "texts.png": (with_many_texts(600_000), "image-too-large"),
    "far-too-wide.png": (png_of(40_000, 10), "image-too-large"),
    "no-height.png": (png_of(32, 0), "image-undecodable"),
    "huge.tif": (tiff_of(256, 2**31), "image-too-large"),
}
# Found when the pixels are decoded, or else usable: either way there is an end with a reason.
EITHER = {
    "huffman-counts.jpg": bad_huffman(b"\xff" * 16),
    "huffman-overfull.jpg": bad_huffman(bytes([9]) + bytes(15)),
    "huffman-empty.jpg": bad_huffman(bytes(16)),
    "sampling.jpg": jpeg_with(0x00),
    "sampling-large.jpg": jpeg_with(0xFF),
    "text-zipped-50MB.png": with_text("zTXt", 50_000_000),
    "text-international.png": with_text("iTXt", 2_000_000),
    "checksum.png": png_with_bad_checksum(),
    "higher-than-its-pixels.png": png_of(32, 2000),
    "lower-than-its-pixels.png": png_of(32, 2),
    "more-pixels.png": pixels_that_unpack_to_more(),
    "loop.tif": looped_tiff(),
    "strip-elsewhere.tif": tiff_of(273, 2**31),
    "strip-long.tif": tiff_of(279, 2**31),
    "samples.tif": tiff_of(277, 60_000),
    "bits.tif": tiff_of(258, 64),
    "compression.tif": tiff_of(259, 7),
}


def check(site: Installation, files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Label files with two good ones beside them; every file has an end, and they a label."""
    created = post_images(site, {**files, **GOOD})
    site.settle()
    job = get_job(site, created["job"]["id"])
    items = get_items(site, job["id"])
    assert job["counts"]["total"] == len(files) + len(GOOD)
    assert sum(n for k, n in job["counts"].items() if k != "total") == job["counts"]["total"]
    for name, item in items.items():
        assert item["status"] in ENDINGS, name
        assert (item["label_id"] is None) == (item["status"] != "succeeded")
        if item["error"]:
            assert len(item["error"]["detail"]) > 20, name
            assert item["error"]["status"] < 500, (name, item["error"])
            assert "/tmp" not in item["error"]["detail"]
            assert "Traceback" not in item["error"]["detail"]
    assert {items[name]["status"] for name in GOOD} == {"succeeded"}
    return items


class TestContents:
    def test_animated_images_give_their_first_frame(self, tiny_site: Installation) -> None:
        first = {"first.png": encoded(FRAMES[0], "PNG")}
        created = post_images(tiny_site, {**ANIMATED, **first})
        notes = {f["file_name"]: f["note"] for f in created["image_set"]["files"]}
        tiny_site.settle()
        items = get_items(tiny_site, created["job"]["id"])
        expected = get_png(tiny_site, items["first.png"]["label_id"])
        for name in ANIMATED:
            assert "the first one is used" in notes[name]
            np.testing.assert_array_equal(
                get_png(tiny_site, items[name]["label_id"]), expected, err_msg=name
            )
        assert notes["first.png"] is None

    def test_polyglots_are_what_they_begin_as(self, tiny_site: Installation) -> None:
        items = check(tiny_site, POLYGLOTS)
        assert {items[name]["status"] for name in POLYGLOTS} == {"succeeded"}
        for name in POLYGLOTS:
            answer = tiny_site.client.get(f"/v1/images/{items[name]['image_digest']}")
            assert answer.headers["content-type"].startswith("image/")
            assert answer.headers["x-content-type-options"] == "nosniff"

    def test_refused_by_their_header(self, tiny_site: Installation) -> None:
        items = check(tiny_site, {name: data for name, (data, _) in REFUSED.items()})
        for name, (_, code) in REFUSED.items():
            assert (items[name]["status"], items[name]["error"]["code"]) == ("skipped", code), name

    def test_damaged_inside(self, tiny_site: Installation) -> None:
        items = check(tiny_site, EITHER)
        codes = {items[name]["error"]["code"] for name in EITHER if items[name]["error"]}
        assert codes <= {"image-undecodable", "image-too-large", "unsupported-media"}
        for name in ("huffman-counts.jpg", "sampling.jpg", "strip-elsewhere.tif"):
            assert items[name]["error"]["code"] == "image-undecodable", name

    def test_a_long_strip_goes_through_windows(self, tiny_site: Installation) -> None:
        strip = Image.new("RGB", (20_000, 40), (90, 120, 60))
        ImageDraw.Draw(strip).rectangle((15_000, 0, 20_000, 40), (70, 130, 220))
        created = post_images(tiny_site, {"strip.png": encoded(strip, "PNG"), **GOOD})
        tiny_site.settle()
        items = get_items(tiny_site, created["job"]["id"])
        label = get_png(tiny_site, items["strip.png"]["label_id"])
        assert label.shape == (40, 20_000)
        # the same colour gives the same class, far from where it changes and from the ends
        assert len(np.unique(label[20, 2000:13_000])) == 1
        assert {items[name]["status"] for name in GOOD} == {"succeeded"}

    @pytest.mark.parametrize(
        ("image_format", "options"),
        [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("TIFF", {}),
         ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {})],
    )  # fmt: skip
    def test_cut_at_every_kind_of_place(
        self, tiny_site: Installation, image_format: str, options: dict[str, Any]
    ) -> None:
        data = encoded(Image.fromarray(image_array(20, 48, 64)), image_format, **options)
        places = sorted({*range(1, 64, 5), *np.linspace(64, len(data) - 1, 12, dtype=int)})
        files = {f"cut-{n:05d}.{image_format.lower()}": data[:n] for n in places}
        items = check(tiny_site, files)
        ends = [items[name]["status"] for name in files]
        assert ends[0] == "skipped"
        assert ends.count("succeeded") <= 3  # a few bytes at the end may not be missed
        codes = {items[n]["error"]["code"] for n in files if items[n]["error"]}
        assert codes <= {"image-undecodable", "not-an-image"}


def post_named(site: Installation, names: list[bytes]) -> Any:
    """POST one image per name, with the raw bytes of the names in the headers of the parts."""
    boundary = b"b0undary"
    body = b""
    for seed, name in enumerate(names):
        body += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="files"; filename="'
        body += name + b'"\r\nContent-Type: image/png\r\n\r\n' + png_bytes(seed) + b"\r\n"
    fields = {b"model": b"tiny", b"pipeline": b'{"select": null}'}
    for key, value in fields.items():
        body += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + key
        body += b'"\r\n\r\n' + value + b"\r\n"
    body += b"--" + boundary + b"--\r\n"
    return site.client.post(
        "/v1/pseudo-labels",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=" + boundary.decode()},
    )


class TestNames:
    def test_each_file_has_a_clean_name_of_its_own(self, both_site: Installation) -> None:
        names = {
            b"/etc/passwd.png": "etc/passwd.png",
            b"../../up.png": "up.png",
            b"a/../../b.png": "a/b.png",
            rb"C:\\Users\\me\\c.png": "c.png",
            b"A.png": "A.png",
            b"a.PNG": "a.PNG",
            b"a.png": "a.png",
            b"tab\there.png": "tabhere.png",
            b"\xe2\x80\xaegnp.exe.png": "gnp.exe.png",
            "straße 夜.png".encode(): "straße 夜.png",
            b"<script>alert(1)</script>.png": "<script>alert(1)/script>.png".replace("/", "</", 1),
            b".": "unnamed",
            b"con.png": "con.png",
            b"%2e%2e%2fx.png": "%2e%2e%2fx.png",
            b"CON": "CON",
        }
        answer = post_named(both_site, list(names))
        assert answer.status_code == 202, answer.text
        both_site.settle()
        items = both_site.client.get(f"/v1/jobs/{answer.json()['job']['id']}/items").json()["items"]
        assert {item["status"] for item in items} == {"succeeded"}
        found = [item["file_name"] for item in items]
        assert len({item["external_id"] for item in items}) == len(names)
        for raw, clean in names.items():
            assert clean in found, (raw, found)

    def test_bytes_that_are_no_utf8(self, both_site: Installation) -> None:
        answer = post_named(both_site, [b"caf\xe9.png", b"\xff\xfe\xfd.png", b"\xed\xa0\x80.png"])
        assert answer.status_code < 500
        if answer.status_code == 202:
            both_site.settle()
            job = get_job(both_site, answer.json()["job"]["id"])
            assert nonzero(job["counts"]) == {"total": 3, "succeeded": 3}
        else:
            assert len(answer.json()["detail"]) > 20

    def test_very_long_names(self, both_site: Installation) -> None:
        names = [b"x" * 5000 + b".png", b"x" * 5000 + b"y.png", b"d/" * 700 + b"z.png"]
        answer = post_named(both_site, names)
        assert answer.status_code == 202, answer.text
        both_site.settle()
        job = get_job(both_site, answer.json()["job"]["id"])
        assert job["status"] == "succeeded"
        items = get_items(both_site, job["id"])
        assert len(items) == 3
        assert all(len(name) <= 512 for name in items)

    def test_a_name_beyond_all_bounds(self, tiny_site: Installation) -> None:
        answer = post_named(tiny_site, [b"x" * 3_000_000 + b".png"])
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"

    def test_no_name_at_all(self, tiny_site: Installation) -> None:
        answer = post_named(tiny_site, [b""])
        assert answer.status_code < 500


def test_many_at_once(tiny_site: Installation) -> None:
    """Everything of above in one request, with the good ones in the middle."""
    everything = {
        **POLYGLOTS, **{n: d for n, (d, _) in REFUSED.items() if len(d) < 100_000}, **ANIMATED,
    }  # fmt: skip
    items = check(tiny_site, everything)
    assert sum(item["status"] == "succeeded" for item in items.values()) == 2 + 5 + 3
    assert (
        io.BytesIO(GOOD["good-1.png"]).read()
        == tiny_site.client.get(f"/v1/images/{items['good-1.png']['image_digest']}").content
    )
