"""Zip archives that nobody vouches for, read as a stream of members."""

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from formats.archive_members import CHUNK_BYTES, ArchiveMember, Budget, CountedStream
from formats.archive_rules import (
    UTF8_FLAG,
    ArchiveLimits,
    check_total,
    is_junk,
    member_problem,
    readable_name,
    too_many_entries,
    unreadable,
)
from formats.errors import InputRefused
from formats.names import clean_file_name

ZIP_MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06")
# What an entry of the directory takes on average, names included: bounds its size up front.
_DIRECTORY_BYTES_PER_ENTRY: Final = 256
_ENTRY_MAGIC: Final = b"PK\x01\x02"
_LOCAL_BYTES: Final = 30
_ENTRY_BYTES: Final = 46  # of an entry of the directory, before its name
_DIRECTORY_FREE_BYTES: Final = 1 << 20
_READ_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # of `zipfile`: a compression or a version that it does not read
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


def looks_like_zip(head: bytes) -> bool:
    """Tell whether a file that starts with `head` (4 bytes or more) is a zip archive."""
    return head.startswith(ZIP_MAGICS)


def iter_zip_members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    """Yield the files of a zip archive in its own order, bad ones with their problem.

    Folders, hidden files and what macOS and Windows leave behind are passed over in silence.

    Args:
        file: seekable binary file; left open.
        limits: bounds; sizes are checked as claimed first and as real while reading.

    Raises:
        InputRefused: `not-an-archive`, `archive-unsafe` or `archive-too-large` for the archive
            as a whole, before the first member.
        OSError: the file itself could not be read.
    """
    archive_bytes = file.seek(0, io.SEEK_END)
    with _opened_zip(file, limits) as archive:
        infos = archive.infolist()
        if len(infos) > limits.max_entries:
            raise too_many_entries(limits)
        budget = Budget(limits.max_total_bytes)
        members = [
            _member(archive, info, limits, budget)
            for info in infos
            if not is_junk(info.orig_filename)
        ]
        total_bytes = sum(m.size_bytes for m in members if m.problem is None)
        check_total(total_bytes, archive_bytes, limits)
        yield from members


class _BoundedReads:
    """A file on which a single read is limited, and whose directory is looked through.

    `zipfile` reads the whole directory at once and makes an object of each entry before anybody
    can count them; here that read is refused when there are more than there may be. And one name
    that claims to be UTF-8 and is not would make it refuse all others: the claim is taken out.
    """

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        self._file = file
        self._limits = limits
        self._max_read = max(_DIRECTORY_FREE_BYTES, limits.max_entries * _DIRECTORY_BYTES_PER_ENTRY)
        self.seek = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > self._max_read:
            raise too_many_entries(self._limits)
        data = self._file.read(size)
        if data.startswith(_ENTRY_MAGIC):
            return self._looked_through(data)
        if data.startswith(ZIP_MAGICS[0]) and len(data) == _LOCAL_BYTES:
            return self._without_false_claim(data)
        return data

    def _without_false_claim(self, local: bytes) -> bytes:
        """Return the header of a member as the directory has it."""
        (flags,) = struct.unpack_from("<H", local, 6)
        (length,) = struct.unpack_from("<H", local, 26)
        position = self._file.tell()
        name = self._file.read(length)
        self._file.seek(position)
        if _is_utf8(name):
            return local
        return local[:6] + struct.pack("<H", flags & ~UTF8_FLAG) + local[8:]

    def _looked_through(self, directory: bytes) -> bytes:
        changed = bytearray(directory)
        position = entries = 0
        while directory.startswith(_ENTRY_MAGIC, position):
            entries += 1
            if entries > self._limits.max_entries:
                raise too_many_entries(self._limits)
            if position + _ENTRY_BYTES > len(directory):
                break
            (flags,) = struct.unpack_from("<H", directory, position + 8)
            lengths = struct.unpack_from("<3H", directory, position + 28)
            start = position + _ENTRY_BYTES
            name = directory[start : start + lengths[0]]
            if flags & UTF8_FLAG and not _is_utf8(name):
                struct.pack_into("<H", changed, position + 8, flags & ~UTF8_FLAG)
            position += _ENTRY_BYTES + sum(lengths)
        return bytes(changed)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _opened_zip(file: BinaryIO, limits: ArchiveLimits) -> zipfile.ZipFile:
    with _as_refusal(_no_zip):
        return zipfile.ZipFile(_BoundedReads(file, limits))


def _no_zip() -> InputRefused:
    return InputRefused(
        "not-an-archive",
        "The file is not a zip archive, or it is damaged or cut short.",
        "Upload it again; for other kinds of archive, pack the files as zip.",
    )


@contextmanager
def _as_refusal(refusal: Callable[[], InputRefused]) -> Iterator[None]:
    """Turn what `zipfile` raises on damaged archives into a refusal."""
    try:
        yield
    except _READ_ERRORS as error:
        raise refusal() from error
    except OSError as error:
        # A seek to a nonsensical offset is the archive's fault; any other error is the disk's.
        if error.errno != errno.EINVAL:
            raise
        raise refusal() from error


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: ArchiveLimits, budget: Budget
) -> ArchiveMember:
    name = clean_file_name(readable_name(info))
    problem = member_problem(info, limits)
    if problem is not None:
        return ArchiveMember(name, info.file_size, problem)

    def open_member() -> BinaryIO:
        with _as_refusal(unreadable):
            stream = archive.open(info)
        counted = CountedStream(
            stream, info.file_size, limits.max_member_bytes, budget, lambda: _as_refusal(unreadable)
        )
        return io.BufferedReader(counted, CHUNK_BYTES)

    return ArchiveMember(name, info.file_size, None, open_member)
