import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats import zip_writer
from formats.zip_writer import ZipStream, packed

FILES = {"a/b.png": b"png bytes", "ü/text.json": b"[" + b"0," * 5000 + b"0]", "empty.txt": b""}
LONG = [b"line %d\n" % n for n in range(20_000)]


def archive() -> bytes:
    with ZipStream() as stream, packed(LONG) as document:
        pieces = [piece for path, data in FILES.items() for piece in stream.member(path, data)]
        pieces += stream.file("long.jsonl", document)
        pieces += stream.end()
    return b"".join(pieces)


def check(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert found.namelist() == [*FILES, "long.jsonl"]
        assert {name: found.read(name) for name in FILES} == FILES
        assert found.read("long.jsonl") == b"".join(LONG)
        assert found.getinfo("a/b.png").compress_type == zipfile.ZIP_STORED
        assert found.getinfo("long.jsonl").compress_size < len(b"".join(LONG)) / 3


def test_another_reader_finds_every_file():
    check(archive())


def test_equal_files_give_equal_bytes():
    assert archive() == archive()


def test_what_is_too_large_for_32_bits_is_written_as_zip64(monkeypatch):
    monkeypatch.setattr(zip_writer, "_MAX32", 50)  # as if so much were four gigabytes
    with ZipStream() as stream:
        data = b"".join(p for n in range(5) for p in stream.member(f"{n}.png", b"x" * 60))
        assert data[4:6] == b"\x2d\x00"  # version 4.5
        assert data[18:26] == b"\x32\0\0\0\x32\0\0\0"


def test_offsets_beyond_four_gigabytes_are_read_again():
    with ZipStream() as stream:
        stream._offset = before = 5 << 30
        data = b"".join([*stream.member("a.png", b"abc"), *stream.end()])

    class Shifted(io.BytesIO):  # the archive behind five gigabytes that nobody reads
        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset - before if whence == 0 else offset, whence) + before

        def tell(self) -> int:
            return super().tell() + before

    with zipfile.ZipFile(Shifted(data)) as found:
        assert found.getinfo("a.png").header_offset == before
        assert found.read("a.png") == b"abc"


def test_more_files_than_16_bits_count():
    with ZipStream() as stream:
        pieces = [p for n in range(65_600) for p in stream.member(f"{n}.png", b"")]
        data = b"".join([*pieces, *stream.end()])
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert len(found.infolist()) == 65_600


def test_what_pieces_raise_leaves_no_file(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        packed(broken())
    assert list(tmp_path.iterdir()) == []
