"""Lists of files, in all the forms that people write them."""

import io
import json
from itertools import chain, repeat
from typing import Any

import pytest

from formats.errors import InputRefused
from formats.manifests import ManifestLimits, ManifestLine, read_manifest


def lines_of(text: str | bytes, **limits: int) -> list[ManifestLine]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_manifest(io.BytesIO(data), ManifestLimits(**limits)))


def test_all_forms() -> None:
    text = "\n".join(
        [
            "https://example.com/a.png",
            "",
            "  sub folder/b.png\t",
            '{"url": "https://example.com/c.png", "external_id": "frame 3"}',
            '{"key": "d.png", "external_id": 4}',
            '{"source-ref": "s3://bucket/e.png", "class": 1, "class-metadata": {"x": [1, null]}}\r',
            "[1].png".replace("[1]", "x[1]"),
            "f.png",
        ]
    )
    assert lines_of("\ufeff" + text) == [
        ManifestLine(1, "https://example.com/a.png"),
        ManifestLine(3, "sub folder/b.png"),
        ManifestLine(4, "https://example.com/c.png", "frame 3"),
        ManifestLine(5, "d.png", "4"),
        ManifestLine(6, "s3://bucket/e.png"),
        ManifestLine(7, "x[1].png"),
        ManifestLine(8, "f.png"),
    ]


def test_nothing() -> None:
    assert lines_of("") == []
    assert lines_of("\n \r\n\n") == []


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('{"url": "a"', "not valid JSON"),
        ("[" * 50_000, "not valid JSON"),
        ('{"a":' * 10_000, "not valid JSON"),
        ('{"url": ' + "9" * 5000 + "}", "not valid JSON"),
        ('["a.png"]', "not an object"),
        ('"a.png"', "not an object"),
        ("{}", "exactly one of"),
        ('{"url": "a", "key": "b"}', "exactly one of"),
        ('{"url": null}', "exactly one of"),
        ('{"url": 3}', "not text"),
        ('{"url": ""}', "not text"),
        ('{"url": ["a"]}', "not text"),
        ('{"url": "a", "external_id": ""}', "external_id"),
        ('{"url": "a", "external_id": true}', "external_id"),
        ('{"url": "a", "external_id": {}}', "external_id"),
        (json.dumps({"url": "a", "external_id": "x" * 513}), "external_id"),
        ('{"url": "a\\u0000b"}', "cannot be shown"),
        ('{"url": "\\ud800"}', "cannot be shown"),
        ('{"url": "a", "external_id": "x\\n"}', "cannot be shown"),
        ("a\x07b.png", "cannot be shown"),
        ("a" * 8193, "longer than 8192"),
        ("x" * 70_000, "longer than 65536 bytes"),
    ],
)
def test_a_bad_line_harms_itself_alone(line: str, match: str) -> None:
    first, bad, last = lines_of(f"a.png\n{line}\nb.png")
    assert (first.reference, last.reference) == ("a.png", "b.png")
    assert (first.number, bad.number, last.number) == (1, 2, 3)
    assert bad.reference is None
    assert bad.external_id is None
    assert bad.problem is not None
    assert match in bad.problem


def test_not_utf8() -> None:
    found = lines_of(b"a.png\n\xff\xfe.png\nb.png\n")
    assert [line.problem for line in found] == [None, "The line is not UTF-8.", None]


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b\x08rest", b"PK\x03\x04rest", "a.png\n".encode("utf-16")]
)
def test_not_text_at_all(data: bytes) -> None:
    with pytest.raises(InputRefused) as caught:
        lines_of(data)
    assert caught.value.code == "manifest-invalid"


def test_too_many_lines() -> None:
    assert len(lines_of("a\n" * 3, max_lines=3)) == 3
    with pytest.raises(InputRefused) as caught:
        lines_of("a\n" * 4, max_lines=3)
    assert caught.value.code == "manifest-too-large"


class Endless(io.RawIOBase):
    """A file without end; counts what was taken from it."""

    def __init__(self, data: bytes) -> None:
        self._pieces = chain.from_iterable(repeat(data))
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        for position in range(len(buffer)):
            buffer[position] = next(self._pieces)
        self.taken += len(buffer)
        return len(buffer)


def test_it_is_read_as_it_comes() -> None:
    endless = Endless(b"a.png\n")
    buffered: Any = endless
    lines = read_manifest(io.BufferedReader(buffered))
    assert [next(lines).number for _ in range(10)] == list(range(1, 11))
    assert endless.taken < 100_000


def test_one_endless_line_takes_no_memory() -> None:
    data = io.BytesIO(b"x" * 5_000_000 + b"\nb.png")
    found = list(read_manifest(data, ManifestLimits(max_line_bytes=100)))
    assert [(line.number, line.reference) for line in found] == [(1, None), (2, "b.png")]
