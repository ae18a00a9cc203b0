"""Archives made to harm: each is refused as a whole, or harms only the member that is bad.

The files are generated here and small; what is large about them are their claims.
"""

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from formats.archive_rules import ArchiveLimits
from formats.archives import archive_kind, iter_archive_members
from formats.decode import inspect_image
from formats.errors import InputRefused
from formats.found_files import IntakeLimits, found_files
from formats.opening import ImageLimits
from formats.tar_headers import MAX_EXTENDED_BYTES
from tests.formats.samples import encoded, noise

LIMITS = ArchiveLimits(max_entries=1000, max_total_bytes=50_000_000, max_member_bytes=1_000_000)
PNG = encoded(noise(4, 4), "PNG")
BLOCK = 512


def tar_header(name: bytes, size: int | bytes = 0, kind: bytes = b"0", **fields: Any) -> bytes:
    """A ustar header by hand; `size` may be the raw field."""
    block = bytearray(BLOCK)
    block[: len(name)] = name
    block[100:108] = b"0000644\x00"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\x00" % size
    block[156:157] = kind
    block[157 : 157 + len(fields.get("link", b""))] = fields.get("link", b"")
    block[257:265] = fields.get("magic", b"ustar\x0000")
    prefix = fields.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def tar_file(name: bytes, data: bytes = PNG, kind: bytes = b"0", **fields: Any) -> bytes:
    return tar_header(name, len(data), kind, **fields) + padded(data)


def pax(**records: bytes) -> bytes:
    """An extended header for the member that follows."""
    body = b""
    for key, value in records.items():
        rest = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        body += str(length).encode() + rest
    return tar_file(b"pax", body, b"x")


END = bytes(2 * BLOCK)
GOOD = tar_file(b"good.png")


def tar_bytes(*parts: bytes, end: bytes = END) -> bytes:
    return b"".join(parts) + end


def zip_bytes(files: dict[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data, method)
    return buffer.getvalue()


def report(data: bytes, limits: ArchiveLimits = LIMITS) -> list[tuple[str, str | None]]:
    """(name, code of the problem) of every file, found by header or by reading."""
    found = []
    for file in found_files("a", io.BytesIO(data), IntakeLimits(ImageLimits(), limits)):
        found.append((file.name, file.problem["code"] if file.problem else None))
    return found


def refusal(data: bytes, limits: ArchiveLimits = LIMITS) -> str:
    """The code with which the whole archive is refused, before its first member."""
    with pytest.raises(InputRefused) as caught:
        next(iter(iter_archive_members(io.BytesIO(data), limits)))
    return caught.value.code


def packings(data: bytes) -> list[bytes]:
    """A tar archive, plain and packed."""
    return [data, gzip.compress(data)]


class TestKinds:
    def test_what_is_opened(self) -> None:
        tar = tar_bytes(GOOD)
        assert archive_kind(tar[:1024]) == "tar"
        assert archive_kind(gzip.compress(tar)[:1024]) == "tar.gz"
        assert archive_kind(zip_bytes({"a": b""})[:1024]) == "zip"
        assert archive_kind(gzip.compress(PNG)[:1024]) is None
        assert archive_kind(PNG[:1024]) is None
        assert archive_kind(b"") is None

    @pytest.mark.parametrize("mode", ["w:xz", "w:bz2"])
    def test_what_is_not_opened_says_what_is(self, mode: Any) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:
            archive.addfile(tarfile.TarInfo("a.png"))
        (file,) = found_files("a", buffer, IntakeLimits(ImageLimits(), LIMITS))
        assert file.problem is not None
        assert file.problem["code"] == "unsupported-media"
        assert "tar.gz" in file.problem["detail"]

    @pytest.mark.parametrize(
        "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
    )
    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_what_tar_writes_is_read(self, tar_format: int, mode: Any) -> None:
        names = ["night/1.png", "n" * 90 + "/" + "x" * 90 + ".png", "Zürich/日.png", "big.png"]
        if tar_format == tarfile.USTAR_FORMAT:
            names.pop(2)
        files = {name: PNG + name.encode() for name in names}
        files["big.png"] = PNG + bytes(700_000)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode, format=tar_format) as archive:
            folder = tarfile.TarInfo("night")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        members = iter_archive_members(buffer, LIMITS)
        assert {m.name: m.open().read() for m in members} == files

    def test_a_tar_of_the_seventies(self) -> None:
        old = tar_file(b"good.png", magic=bytes(8), kind=b"\x00")
        folder = tar_header(b"night/", magic=bytes(8), kind=b"\x00")
        assert report(tar_bytes(folder, old)) == [("good.png", None)]

    def test_the_head_decides_about_polyglots(self) -> None:
        jpeg = encoded(noise(8, 8), "JPEG")
        both = jpeg + zip_bytes({"evil.png": PNG})
        assert archive_kind(both[:1024]) is None
        assert [code for _, code in report(both)] == [None]
        assert inspect_image(io.BytesIO(both), ImageLimits()).format == "JPEG"

    def test_an_image_that_is_a_tar_as_well(self) -> None:
        fake = tar_header(b"\xff\xd8\xff\xe0 name", len(PNG)) + padded(PNG) + END
        assert archive_kind(fake[:1024]) is None
        assert report(fake) == [("a", "image-undecodable")]


class TestTarMembers:
    @pytest.mark.parametrize(
        "name",
        [b"../a.png", b"x/../../a.png", b"/etc/passwd", b"C:\\a.png", b"..\\a.png", b"\\\\h\\a"],
    )
    def test_names_that_lead_out(self, name: bytes) -> None:
        for data in packings(tar_bytes(tar_file(name), GOOD)):
            found = report(data)
            assert [code for _, code in found] == ["name-unsafe", None]
            assert not found[0][0].startswith("/")
            assert ".." not in found[0][0]

    @pytest.mark.parametrize("kind", list(b"12346M9"))
    def test_links_devices_pipes_and_unknown_things(self, kind: int) -> None:
        link = tar_header(b"link.png", 0, bytes([kind]), link=b"/etc/passwd")
        for data in packings(tar_bytes(link, GOOD)):
            assert report(data) == [("link.png", "archive-unsafe"), ("good.png", None)]

    def test_a_link_that_claims_a_size_hides_nothing(self) -> None:
        link = tar_header(b"link.png", 512, b"2", link=b"good.png")
        assert report(tar_bytes(link, GOOD)) == [("link.png", "archive-unsafe"), ("good.png", None)]

    def test_sparse_files(self) -> None:
        old = bytearray(tar_header(b"old.png", 512, b"S"))
        old[482] = 1
        old[148:156] = b" " * 8
        old[148:156] = b"%06o\x00 " % sum(old)
        more = bytearray(BLOCK)
        new = pax(GNU__sparse__major=b"1", GNU__sparse__minor=b"0") + tar_file(b"new.png")
        data = tar_bytes(bytes(old) + bytes(more) + bytes(512), new, GOOD)
        assert report(data) == [
            ("old.png", "archive-unsafe"), ("new.png", "archive-unsafe"), ("good.png", None),
        ]  # fmt: skip

    def test_a_sparse_map_without_end(self) -> None:
        old = bytearray(tar_header(b"old.png", 512, b"S"))
        old[482] = 1
        old[148:156] = b" " * 8
        old[148:156] = b"%06o\x00 " % sum(old)
        endless = (bytes(504) + b"\x01" + bytes(7)) * 100
        found = report(tar_bytes(GOOD, bytes(old), endless, end=b""))
        assert found[0] == ("good.png", None)
        assert found[-1][1] == "archive-member-unreadable"

    def test_pax_may_rename_but_not_lead_out(self) -> None:
        data = tar_bytes(
            pax(path="Zürich/ä.png".encode()) + tar_file(b"x"),
            pax(path=b"/etc/cron.d/x") + tar_file(b"y"),
            pax(path=b"a\x00.png") + tar_file(b"z"),
            GOOD,
        )
        found = report(data)
        assert found[0] == ("Zürich/ä.png", None)
        assert [code for _, code in found] == [None, "name-unsafe", "name-unsafe", None]

    def test_a_name_for_all_is_not_believed(self) -> None:
        body = b"26 path=everything/is.png\n"
        data = tar_bytes(tar_file(b"g", body, b"g"), tar_file(b"1.png"), tar_file(b"2.png"))
        assert [name for name, _ in report(data)] == ["1.png", "2.png"]

    @pytest.mark.parametrize(
        "body",
        [b"0 path=a\n", b"999999 path=a\n", b"path=a\n", b"12 size=-512\n", b"11 size=1e9\n",
         b"99999999999 a=b\n", b"\xff\xff\xff"],
    )  # fmt: skip
    def test_pax_records_that_lie(self, body: bytes) -> None:
        data = tar_bytes(tar_file(b"p", body, b"x"), tar_file(b"bad.png"), GOOD)
        assert report(data) == [("bad.png", "archive-unsafe"), ("good.png", None)]

    @pytest.mark.parametrize("kind", [b"x", b"L"])
    def test_extended_headers_of_any_size_are_not_read(self, kind: bytes) -> None:
        huge = tar_file(b"p", b"a" * (MAX_EXTENDED_BYTES + 1), kind)
        data = tar_bytes(huge, tar_file(b"bad.png"), GOOD)
        assert report(data) == [("bad.png", "archive-unsafe"), ("good.png", None)]

    def test_extended_headers_without_end(self) -> None:
        found = report(tar_bytes(GOOD, *[pax(comment=b"x")] * 100, tar_file(b"late.png")))
        assert found[0] == ("good.png", None)
        assert found[1][1] == "archive-member-unreadable"

    def test_names_of_any_kind(self) -> None:
        long = b"n" * 3000 + b".png"
        data = tar_bytes(
            tar_file(b"\xff\xfe\xfa.png"),
            tar_file(b"@LongLink", long + b"\x00", b"L") + tar_file(b"short"),
            tar_file(b"", PNG),
            tar_file(b"A.png"), tar_file(b"a.PNG"), tar_file(b"A.png"),
        )  # fmt: skip
        found = report(data)
        assert [code for _, code in found] == [None, None, "name-unsafe", None, None, None]
        assert all(name.isprintable() and len(name) <= 512 for name, _ in found)
        assert found[1][0].endswith(".png")

    def test_junk_is_passed_over(self) -> None:
        names = [b"__MACOSX/a.png", b"x/._a.png", b".git/config", b"Thumbs.db", b"./good.png"]
        assert report(tar_bytes(*map(tar_file, names))) == [("good.png", None)]

    def test_archives_in_archives_are_not_opened(self) -> None:
        inner = {
            b"a.tar": tar_bytes(GOOD),
            b"b.tar.gz": gzip.compress(tar_bytes(GOOD)),
            b"c.zip": zip_bytes({"good.png": PNG}),
            b"d.gz": gzip.compress(PNG),
            b"e.7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
        }
        outer_tar = tar_bytes(*(tar_file(name, data) for name, data in inner.items()), GOOD)
        outer_zip = zip_bytes({k.decode(): v for k, v in inner.items()} | {"good.png": PNG})
        for data in (*packings(outer_tar), outer_zip):
            found = report(data)
            assert [code for _, code in found] == ["nested-archive"] * 5 + [None]


class TestTarWhole:
    def test_too_many_entries(self) -> None:
        """200,000 of them: refused before anything is taken, and fast."""
        header = tar_header(b"a.png")
        data = gzip.compress(header * 200_000, 1)
        limits = ArchiveLimits(max_entries=100_000, max_ratio=10_000)
        assert refusal(data, limits) == "archive-too-large"
        assert len(data) < 2_000_000

    def test_folders_count_as_well(self) -> None:
        assert refusal(tar_bytes(*[tar_header(b"d/", kind=b"5")] * 1001)) == "archive-too-large"

    def test_a_bomb_of_zeros(self) -> None:
        bomb = gzip.compress((tar_header(b"a.png", 900_096) + bytes(900_096)) * 30, 9)
        tracemalloc.start()
        assert refusal(bomb) == "archive-unsafe"
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3_000_000

    def test_a_bomb_of_many_gzip_members(self) -> None:
        piece = gzip.compress(bytes(1_000_000), 9)
        bomb = gzip.compress(tar_header(b"a.png", 900_000) + bytes(900_096)) + piece * 60
        loose = ArchiveLimits(
            max_entries=10, max_total_bytes=20_000_000, max_ratio=10_000, max_member_bytes=1_000_000
        )
        endless = gzip.compress(tar_header(b"a.png", 8**11 - 1)) + piece * 60
        assert refusal(endless, loose) == "archive-too-large"
        assert report(bomb, loose)[0][0] == "a.png"  # what is behind the end is not unpacked

    def test_all_together_too_large(self) -> None:
        limits = ArchiveLimits(max_total_bytes=3 * len(PNG) - 1)
        assert refusal(tar_bytes(*[GOOD] * 3), limits) == "archive-too-large"

    @pytest.mark.parametrize(
        "size", [8**11 - 1, b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7, b"\x80" + b"\xff" * 11]
    )
    def test_a_size_that_lies(self, size: int | bytes) -> None:
        found = report(tar_bytes(GOOD, tar_header(b"huge.png", size), PNG))
        assert found[:2] == [("good.png", None), ("huge.png", "archive-too-large")]
        assert found[2][1] == "archive-member-unreadable"
        assert len(found) == 3

    @pytest.mark.parametrize("size", [b"\xff" * 12, b"abcdefghijk\x00", b"-0000000001\x00"])
    def test_a_size_that_is_none(self, size: bytes) -> None:
        found = report(tar_bytes(GOOD, tar_header(b"x.png", size), PNG))
        assert [code for _, code in found] == [None, "archive-member-unreadable"]

    def test_a_pax_size_that_lies(self) -> None:
        found = report(tar_bytes(GOOD, pax(size=b"999999") + tar_file(b"x.png")))
        assert found[0] == ("good.png", None)
        assert [code for _, code in found[1:]] == ["archive-member-unreadable"] * 2

    def test_cut_short_keeps_what_is_there(self) -> None:
        whole = tar_bytes(GOOD, tar_file(b"b.png", PNG + bytes(5000)))
        for cut in (len(GOOD) + 100, len(GOOD) + BLOCK, len(GOOD) + BLOCK + 700):
            found = report(whole[:cut])
            assert found[0] == ("good.png", None)
            assert found[-1][1] == "archive-member-unreadable"
        packed = gzip.compress(tar_bytes(GOOD, *[tar_file(b"n.png", noise(90, 90).tobytes())] * 9))
        found = report(packed[: len(packed) // 2])
        assert found[0] == ("good.png", None)
        assert found[-1][1] == "archive-member-unreadable"

    def test_no_end_mark_is_no_damage(self) -> None:
        assert report(tar_bytes(GOOD, end=b"")) == [("good.png", None)]

    def test_garbage_behind_the_end_is_not_looked_at(self) -> None:
        for data in packings(tar_bytes(GOOD)):
            assert report(data + b"garbage" * 1000) == [("good.png", None)]
        assert report(tar_bytes(GOOD) + tar_file(b"hidden.png")) == [("good.png", None)]

    def test_a_damaged_head(self) -> None:
        data = bytearray(tar_bytes(GOOD))
        data[0] ^= 1
        assert refusal(bytes(data)) == "not-an-archive"

    def test_an_empty_archive(self) -> None:
        assert report(tar_bytes(tar_header(b"d/", kind=b"5"))) == []

    def test_a_flipped_bit_in_gzip(self) -> None:
        files = [tar_file(b"%d.png" % i, noise(60, 60).tobytes()) for i in range(20)]
        data = bytearray(gzip.compress(tar_bytes(GOOD, *files)))
        data[len(data) // 2] ^= 0x55
        found = report(bytes(data))
        assert found[0] == ("good.png", None)
        assert len(found) < 22 or found[-1][1] == "archive-member-unreadable"


def directory_patched(data: bytes, offset: int, fmt: str, value: int) -> bytes:
    """A zip with one field of its first directory entry replaced."""
    out = bytearray(data)
    struct.pack_into(fmt, out, data.index(b"PK\x01\x02") + offset, value)
    return bytes(out)


def both_patched(data: bytes, offset: int, fmt: str, value: int) -> bytes:
    """The same, and in the local header too."""
    out = bytearray(directory_patched(data, offset, fmt, value))
    struct.pack_into(fmt, out, offset - 2, value)
    return bytes(out)


class TestZips:
    def test_too_many_entries_are_counted_before_they_are_listed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 6, 0, 0, 0, 1, *[0] * 4, 0, 0)
        directory = (entry + b"a") * 200_000
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)

        def no_listing(*_: object) -> None:
            raise AssertionError("an entry was made")

        monkeypatch.setattr(zipfile, "ZipInfo", no_listing)
        limits = ArchiveLimits(max_entries=100_000)
        assert refusal(directory + end, limits) == "archive-too-large"

    @pytest.mark.parametrize("claimed", [10, 10_000_000])
    def test_sizes_that_lie(self, claimed: int) -> None:
        data = zip_bytes({"bad.png": PNG, "good.png": PNG}, zipfile.ZIP_STORED)
        found = report(both_patched(data, 24, "<L", claimed))
        assert found[0][1] in ("archive-member-unreadable", "archive-too-large")
        assert found[1] == ("good.png", None)

    def test_a_checksum_that_lies(self) -> None:
        data = zip_bytes({"bad.png": PNG, "good.png": PNG})
        found = report(both_patched(data, 16, "<L", 12345))
        assert found == [("bad.png", "archive-member-unreadable"), ("good.png", None)]

    def test_a_bomb(self) -> None:
        found = report(zip_bytes({"bomb.png": bytes(30_000_000), "good.png": PNG}))
        assert found[0][1] == "archive-too-large"
        assert found[1] == ("good.png", None)
        small = ArchiveLimits(max_member_bytes=100_000_000)
        assert report(zip_bytes({"bomb.png": bytes(3_000_000), "good.png": PNG}), small)[0] == (
            "bomb.png",
            "archive-unsafe",
        )

    def test_overlapping_entries(self) -> None:
        """Many names for the same packed bytes: the ratio of the whole gives them away."""
        data = zip_bytes({"a.png": bytes(900_000)})
        at = data.index(b"PK\x01\x02")
        entry, end = data[at:-22], bytearray(data[-22:])
        directory = entry * 500
        struct.pack_into("<2H2L", end, 8, 500, 500, len(directory), at)
        assert refusal(data[:at] + directory + bytes(end)) in (
            "archive-unsafe",
            "archive-too-large",
        )

    def test_encrypted_members(self) -> None:
        data = zip_bytes({"bad.png": PNG, "good.png": PNG})
        found = report(directory_patched(data, 8, "<H", 1))
        assert found == [("bad.png", "archive-unsafe"), ("good.png", None)]

    def test_zip64(self) -> None:
        buffer = io.BytesIO()
        info = zipfile.ZipInfo("good.png")
        with (
            zipfile.ZipFile(buffer, "w") as archive,
            archive.open(info, "w", force_zip64=True) as member,
        ):
            member.write(PNG)
        assert report(buffer.getvalue()) == [("good.png", None)]

    def test_names_that_differ_in_case_or_not_at_all(self) -> None:
        infos = {zipfile.ZipInfo(name): PNG for name in ("A.png", "a.png", "A.png")}
        with pytest.warns(UserWarning, match="Duplicate name"):
            data = zip_bytes(infos)
        assert report(data) == [("A.png", None), ("a.png", None), ("A.png", None)]

    def test_one_name_that_claims_to_be_utf8_harms_no_other(self) -> None:
        data = zip_bytes({"xxxx.png": PNG, "grün.png": PNG})
        data = data.replace(b"xxxx.png", b"\xff\xfe\xfd\xfc.png")
        data = both_patched(data, 8, "<H", 0x800)
        found = report(data)
        assert [code for _, code in found] == [None, None]
        assert found[1][0] == "grün.png"

    @pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
    def test_cut_short(self, keep: float) -> None:
        data = zip_bytes({f"{i}.png": noise(20, 20).tobytes() for i in range(10)})
        assert refusal(data[: int(keep * len(data))]) == "not-an-archive"

    def test_garbage_around_it(self) -> None:
        assert report(zip_bytes({"good.png": PNG}) + b"garbage" * 100) == [("good.png", None)]


@pytest.mark.parametrize("make", [lambda: tar_bytes(GOOD, GOOD), lambda: zip_bytes({"a": PNG})])
def test_every_cut_and_many_flips_are_survived(make: Callable[[], bytes]) -> None:
    whole = make()
    damaged = [whole[:n] for n in range(0, len(whole), 37)]
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 0xFF
        damaged.append(bytes(flipped))
    whole_reports = []
    for data in damaged:
        with contextlib.suppress(InputRefused):
            whole_reports.append(report(data))
    assert whole_reports  # nothing else was raised, and not all of them were refused
