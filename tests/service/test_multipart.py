"""Forms read piece by piece: the same parts however the network cuts them, none in memory."""

import hashlib
import io
import os
import zipfile
from contextlib import closing

import psutil
import pytest
from starlette.exceptions import HTTPException

from service.multipart import FilePart, FormLimits, FormReader
from tests.support.images import png_bytes, zip_bytes

LIMITS = FormLimits(max_files=1000, max_fields=10, max_field_bytes=1000)
TYPE = "multipart/form-data; boundary=frontier"


def part(name: str, data: bytes, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"'
    if file_name is not None:
        disposition += f'; filename="{file_name}"'
    head = f"--frontier\r\nContent-Disposition: {disposition}\r\n\r\n"
    return head.encode() + data + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--frontier--\r\n"


def read(data: bytes, piece_bytes: int = 1 << 16, limits: FormLimits = LIMITS) -> FormReader:
    reader = FormReader(TYPE, limits)
    try:
        for start in range(0, len(data), piece_bytes):
            reader.feed(data[start : start + piece_bytes])
        reader.finish()
    except BaseException:
        reader.close()
        raise
    return reader


HOSTILE = b"\r\n--frontie\r\n--front\r\r\n--\x00\xff" * 20
FORM = body(
    part("name", "Stra\u00dfe".encode()),
    part("files", HOSTILE, "a.png"),
    part("files", b"", "empty.png"),
    part("files", bytes(range(256)) * 300, "dir/\u00e4 b.png"),
    part("name", b""),
)


class TestParts:
    @pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 64, 1000, 1 << 16])
    def test_the_same_parts_however_the_body_is_cut(self, piece_bytes: int) -> None:
        with closing(read(FORM, piece_bytes)) as reader:
            found = [
                (p.field, p.name, p.file.read(), p.size_bytes, p.sha256)
                if isinstance(p, FilePart)
                else (p.field, p.value)
                for p in reader.parts
            ]
        expected = {"a.png": HOSTILE, "empty.png": b"", "dir/\u00e4 b.png": bytes(range(256)) * 300}
        files = [
            ("files", name, data, len(data), hashlib.sha256(data).hexdigest())
            for name, data in expected.items()
        ]
        assert found == [("name", "Stra\u00dfe"), *files, ("name", "")]

    def test_a_file_can_be_read_as_any_file(self) -> None:
        data = bytes(range(256)) * 1000
        form = body(part("f", b"before", "a"), part("f", data, "b"), part("f", b"after", "c"))
        with closing(read(form)) as reader:
            window = reader.parts[1]
            assert isinstance(window, FilePart)
            file = window.file
            assert file.seek(0, io.SEEK_END) == len(data)
            assert file.read(10) == b""
            file.seek(-3, io.SEEK_END)
            assert file.read() == data[-3:]
            file.seek(255)
            file.seek(2, io.SEEK_CUR)
            assert (file.tell(), file.read(4)) == (257, data[257:261])
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)
            assert window.file.read() == data  # another reader, from the start

    def test_archives_and_images_open(self) -> None:
        archive = zip_bytes({"a.png": png_bytes(1)})
        with closing(read(body(part("f", b"x" * 999, "x"), part("f", archive, "a.zip")))) as reader:
            assert isinstance(reader.parts[1], FilePart)
            assert zipfile.ZipFile(reader.parts[1].file).read("a.png") == png_bytes(1)

    @pytest.mark.parametrize("charset", ["utf-8", "hex", "zip", "nonsense", "utf-16", "idna"])
    def test_names_that_are_not_utf8(self, charset: str) -> None:
        data = body(part("f", b"1", "caf\u00e9")).replace("caf\u00e9".encode(), b"caf\xe9")
        with closing(FormReader(f"{TYPE}; charset={charset}", LIMITS)) as reader:
            reader.feed(data)
            reader.finish()
            assert isinstance(reader.parts[0], FilePart)
            assert reader.parts[0].name == "caf\u00e9"


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (FORM[:-40], "middle of a part"),
            (FORM[:30], "middle of a part"),
            (b"not a form at all", "not valid"),
            (body(part("f", b"1")).replace(b'name="f"', b"x=1"), "no name"),
            (body(part("f", b"x" * 1001)), "larger than 1000"),
            (body(*[part("f", b"")] * 11), "More than 10 fields"),
            (body(*[part("f", b"", "a")] * 1001), "SELVAGE_MAX_FILES_PER_REQUEST"),
            (body(b"--frontier\r\n" + b"a: b\r\n" * 100 + b"\r\n"), "not valid"),
            (b"--frontier\r\na: " + b"b" * 100_000, "not valid"),
        ],
    )
    def test_a_form_that_cannot_be_read(self, data: bytes, reason: str) -> None:
        for piece_bytes in (1 << 16, 100):
            with pytest.raises(HTTPException, match=reason) as caught:
                read(data, piece_bytes)
            assert caught.value.status_code == 400

    @pytest.mark.parametrize(
        "content_type",
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"],
    )
    def test_a_type_without_a_boundary(self, content_type: str) -> None:
        with pytest.raises(HTTPException, match="boundary"):
            FormReader(content_type, LIMITS)


def test_many_files_cost_one_descriptor_and_no_memory() -> None:
    process = psutil.Process()
    data = part("f", os.urandom(100_000), "a.jpg")
    with closing(FormReader(TYPE, LIMITS)) as reader:
        for _ in range(10):
            reader.feed(data)
        rss_bytes, descriptors = process.memory_info().rss, process.num_fds()
        for _ in range(900):
            reader.feed(data)
        reader.feed(b"--frontier--\r\n")
        reader.finish()
        assert len(reader.parts) == 910
        assert process.num_fds() <= descriptors
        assert process.memory_info().rss - rss_bytes < 20 << 20  # of 90 MB
