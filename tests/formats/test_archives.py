"""Zip archives: what is passed over, what is refused for one member, what for the whole."""

import io
import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from formats.archive_rules import ArchiveLimits
from formats.archives import ArchiveMember, iter_zip_members, looks_like_zip
from formats.errors import InputRefused

LIMITS = ArchiveLimits()


def zip_bytes(files: Mapping[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content, method)
    return buffer.getvalue()


def members(data: bytes, limits: ArchiveLimits = LIMITS) -> list[ArchiveMember]:
    return list(iter_zip_members(io.BytesIO(data), limits))


def codes(data: bytes, limits: ArchiveLimits = LIMITS) -> dict[str, str | None]:
    return {m.name: m.problem.code if m.problem else None for m in members(data, limits)}


def first_detail(data: bytes) -> str:
    problem = members(data)[0].problem
    assert problem is not None
    return problem.detail


def whole_refusal(data: bytes, limits: ArchiveLimits = LIMITS) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        members(data, limits)
    return caught.value


def contents(data: bytes, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    return {
        member.name: member.open().read()
        for member in iter_zip_members(io.BytesIO(data), limits)
        if member.problem is None
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_with_folders_sizes_and_content(method: int) -> None:
    files = {"b.png": b"second" * 1000, "night/a.png": b"first", "empty.png": b""}
    data = zip_bytes(files, method)
    assert [(m.name, m.size_bytes) for m in members(data)] == [
        ("b.png", 6000),
        ("night/a.png", 5),
        ("empty.png", 0),
    ]
    assert contents(data) == files


def test_the_stream_can_be_read_in_pieces() -> None:
    content = bytes(range(256)) * 4000
    for member in iter_zip_members(io.BytesIO(zip_bytes({"a": content})), LIMITS):
        with member.open() as stream:
            assert stream.read(10) == content[:10]
            assert stream.read(500_000) == content[10:500_010]
            assert stream.read() == content[500_010:]
            assert stream.read() == b""


def test_junk_is_passed_over_in_silence() -> None:
    data = zip_bytes(
        {
            "night/": b"",
            "night/a.png": b"x",
            "__MACOSX/night/._a.png": b"x",
            "night/.DS_Store": b"x",
            ".git/config": b"x",
            "night/Thumbs.db": b"x",
            "desktop.ini": b"x",
            "folder\\": b"",
        }
    )
    assert list(contents(data)) == ["night/a.png"]


def test_a_leading_dot_folder_is_no_hidden_file() -> None:
    assert list(contents(zip_bytes({"./images/a.png": b"x"}))) == ["images/a.png"]


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../../a.png", "/etc/passwd", "C:\\a.png", "..\\a.png", "\\\\host\\a"]
)
def test_names_that_lead_out_harm_only_their_member(name: str) -> None:
    found = members(zip_bytes({name: b"x", "good.png": b"good"}))
    assert [m.problem and m.problem.code for m in found] == ["name-unsafe", None]
    assert not found[0].name.startswith("/")
    assert ".." not in found[0].name
    with pytest.raises(InputRefused, match="relative names"):
        found[0].open()


def test_links_and_special_files() -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pipe = zipfile.ZipInfo("pipe.png")
    pipe.external_attr = (stat.S_IFIFO | 0o777) << 16
    data = zip_bytes({link: b"/etc/passwd", pipe: b"", "good.png": b"good"})
    assert codes(data) == {
        "link.png": "archive-unsafe",
        "pipe.png": "archive-unsafe",
        "good.png": None,
    }


def patched(data: bytes, offset_in_entry: int, fmt: str, value: int) -> bytes:
    """Return a zip with one field of its first directory entry replaced."""
    out = bytearray(data)
    struct.pack_into(fmt, out, data.index(b"PK\x01\x02") + offset_in_entry, value)
    return bytes(out)


def test_encrypted_members() -> None:
    data = patched(zip_bytes({"a.png": b"x", "b.png": b"y"}), 8, "<H", 1)
    assert codes(data) == {"a.png": "archive-unsafe", "b.png": None}
    assert "password" in first_detail(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_output_cannot_be_bounded(method: int) -> None:
    assert codes(zip_bytes({"a.png": bytes(9)}, method)) == {"a.png": "archive-unsafe"}


def test_too_many_entries() -> None:
    data = zip_bytes({f"{i}.png": b"" for i in range(5)})
    assert len(members(data, ArchiveLimits(max_entries=5))) == 5
    refused = whole_refusal(data, ArchiveLimits(max_entries=4))
    assert (refused.code, "more than 4 files" in refused.detail) == ("archive-too-large", True)


def test_a_directory_too_large_to_be_listed_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = zip_bytes({f"{i:0>200}.png": b"" for i in range(5000)})

    def no_listing(*_: object) -> None:
        raise AssertionError("the entries were made into objects")

    monkeypatch.setattr(zipfile, "ZipInfo", no_listing)
    assert whole_refusal(data, ArchiveLimits(max_entries=10)).code == "archive-too-large"


def test_a_member_over_its_limit() -> None:
    data = zip_bytes({"a.png": bytes(11), "b.png": bytes(10)}, zipfile.ZIP_STORED)
    limits = ArchiveLimits(max_member_bytes=10)
    assert codes(data, limits) == {"a.png": "archive-too-large", "b.png": None}


def test_the_total_counts_only_what_would_be_read() -> None:
    data = zip_bytes({"a.png": bytes(11), "b.png": bytes(10)}, zipfile.ZIP_STORED)
    assert len(members(data, ArchiveLimits(max_member_bytes=10, max_total_bytes=10))) == 2
    assert whole_refusal(data, ArchiveLimits(max_total_bytes=20)).code == "archive-too-large"


def test_a_bomb_harms_only_its_member() -> None:
    data = zip_bytes({"bomb.png": bytes(4_000_000), "good.png": b"good"})
    assert codes(data) == {"bomb.png": "archive-unsafe", "good.png": None}
    assert "200 times" in first_detail(data)


def test_small_members_may_pack_well() -> None:
    assert codes(zip_bytes({"black.bmp": bytes(1_000_000)})) == {"black.bmp": None}


def test_members_that_share_their_bytes() -> None:
    # Fifty names for one member of 900 kB that packs to 1 kB: no single ratio is suspicious.
    data = zip_bytes({"a.png": bytes(900_000)})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    out = bytearray(data[:start] + data[start:end] * 50 + data[end:])
    tail = len(out) - 22
    struct.pack_into("<HHI", out, tail + 8, 50, 50, (end - start) * 50)
    refused = whole_refusal(bytes(out))
    assert refused.code == "archive-unsafe"


def test_a_header_that_claims_too_little_is_found_while_reading() -> None:
    data = patched(zip_bytes({"a.png": bytes(range(256)) * 40}), 24, "<I", 100)
    for member in iter_zip_members(io.BytesIO(data), LIMITS):
        assert member.size_bytes == 100
        with pytest.raises(InputRefused, match="damaged inside the archive"):
            member.open().read()


def test_real_bytes_are_counted_over_all_reads() -> None:
    data = zip_bytes({"a.png": bytes(60)}, zipfile.ZIP_STORED)
    for member in iter_zip_members(io.BytesIO(data), ArchiveLimits(max_total_bytes=100)):
        assert len(member.open().read()) == 60
        with pytest.raises(InputRefused, match="unpacks to more than"):
            member.open().read()


def test_damaged_content() -> None:
    data = bytearray(zip_bytes({"a.png": b"0123456789", "b.png": b"ok"}, zipfile.ZIP_STORED))
    data[data.index(b"0123456789")] ^= 1
    found = iter_zip_members(io.BytesIO(bytes(data)), LIMITS)
    with pytest.raises(InputRefused) as caught:
        next(found).open().read()
    assert caught.value.code == "archive-member-unreadable"
    assert next(found).open().read() == b"ok"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip", b"PK\x05\x06" + b"\xff" * 18])
def test_no_zip(data: bytes) -> None:
    assert whole_refusal(data).code == "not-an-archive"


def test_a_zip_cut_short() -> None:
    assert whole_refusal(zip_bytes({"a.png": bytes(5000)})[:-30]).code == "not-an-archive"


def test_an_empty_zip_has_no_members() -> None:
    assert members(zip_bytes({})) == []


def test_an_archive_inside_is_a_file_like_others() -> None:
    inner = zip_bytes({"a.png": b"x"})
    assert contents(zip_bytes({"inner.zip": inner})) == {"inner.zip": inner}


def stored_name(raw: bytes, flags: int = 0) -> bytes:
    """Return a zip of one file whose name is these bytes in both of its headers."""
    data = zip_bytes({"n" * len(raw): b"x"})
    data = data.replace(b"n" * len(raw), raw)
    return patched(data, 8, "<H", flags)


def test_names_in_utf8_without_saying_so() -> None:
    assert list(contents(stored_name("Zürich/日.png".encode()))) == ["Zürich/日.png"]


def test_names_in_another_encoding_stay_printable() -> None:
    (name,) = contents(stored_name("日本.png".encode("shift_jis")))
    assert name.isprintable()
    assert name.endswith(".png")


@pytest.mark.parametrize("raw", [b"\x00.png", b"a.png\x00.exe"])
def test_names_with_a_nul(raw: bytes) -> None:
    assert [m.problem.code for m in members(stored_name(raw)) if m.problem] == ["name-unsafe"]


def test_names_that_lie_about_utf8() -> None:
    (name,) = contents(stored_name(b"\xff\xfe.png", flags=0x800))
    assert name.isprintable()
    assert name.endswith(".png")


def test_offsets_before_the_start_of_a_real_file(tmp_path: Path) -> None:
    # The end record claims a directory further on than it is, which shifts all offsets back.
    data = bytearray(zip_bytes({"a.png": b"x"}))
    at = data.index(b"PK\x05\x06") + 16
    struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] + 5)
    path = tmp_path / "shifted.zip"
    path.write_bytes(bytes(data))
    with path.open("rb") as file:
        for member in iter_zip_members(file, LIMITS):
            with pytest.raises(InputRefused, match="damaged inside the archive"):
                member.open()


def test_a_disk_that_fails_is_no_fault_of_the_archive() -> None:
    class FailingDisk(io.BytesIO):
        failing = False

        def read(self, size: int | None = -1) -> bytes:
            if self.failing:
                raise OSError(5, "Input/output error")
            return super().read(size)

    disk = FailingDisk(zip_bytes({"a.png": b"x"}))
    found = iter_zip_members(disk, LIMITS)
    member = next(found)
    disk.failing = True
    with pytest.raises(OSError, match="Input/output"):
        member.open()
    assert next(found, None) is None


def test_looks_like_zip() -> None:
    assert looks_like_zip(zip_bytes({"a": b""})[:4])
    assert looks_like_zip(zip_bytes({})[:4])
    assert not looks_like_zip(b"\x89PNG")


def test_a_directory_that_claims_more_bytes_than_come_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.png", b"\x00" * 200)
    data = bytearray(buffer.getvalue())
    size_at = data.index(b"PK\x01\x02") + 24
    assert data[size_at] == 200
    data[size_at] = 201
    (member,) = iter_zip_members(io.BytesIO(bytes(data)), ArchiveLimits())
    with pytest.raises(InputRefused) as raised, member.open() as stream:
        stream.read()
    assert raised.value.code == "archive-member-unreadable"
