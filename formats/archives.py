"""Zip archives that nobody vouches for, read as a stream of members.

Nothing is unpacked to a path, headers are taken for claims, and one bad member harms one member.
Archives inside archives are never opened: as members they are simply no images.
"""

import errno
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from formats.archive_rules import (
    ArchiveLimits,
    check_total,
    is_junk,
    member_problem,
    member_too_large,
    readable_name,
    too_many_entries,
    total_too_large,
    unreadable,
)
from formats.errors import InputRefused
from formats.names import clean_file_name

ZIP_MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06")
_CHUNK_BYTES: Final = 1 << 18
# What an entry of the directory takes on average, names included: bounds its size up front.
_DIRECTORY_BYTES_PER_ENTRY: Final = 256
_DIRECTORY_FREE_BYTES: Final = 1 << 20
_READ_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    OverflowError,
)


@dataclass(frozen=True)
class ArchiveMember:
    """One file in an archive.

    Attributes:
        name: relative path with forward slashes, clean to show and store.
        size_bytes: unpacked size as the archive claims it.
        problem: why this member cannot be used; then `open` raises it.
    """

    name: str
    size_bytes: int
    problem: InputRefused | None
    _source: "_Source | None" = field(default=None, repr=False, compare=False)

    def open(self) -> BinaryIO:
        """Return the content as a stream, bounded by real bytes; not seekable.

        Open it before the iterator of members is exhausted or closed.

        Raises:
            InputRefused: this member's problem. Reading raises it as well: the content is
                damaged (`archive-member-unreadable`) or larger than the limits
                (`archive-too-large`).
        """
        if self._source is None:
            raise self.problem or InputRefused("archive-unsafe", "The member cannot be read.")
        return self._source.open()


def looks_like_zip(head: bytes) -> bool:
    """Tell whether a file that starts with `head` (4 bytes or more) is a zip archive."""
    return head.startswith(ZIP_MAGICS)


def archive_kind(head: bytes) -> str | None:
    """Return the kind of archive that starts with `head`, None if it is opened as no archive."""
    return "zip" if looks_like_zip(head) else None


def iter_archive_members(
    file: BinaryIO, limits: ArchiveLimits, *, tick: Callable[[], None]
) -> Iterator[ArchiveMember]:
    """Yield the files of an archive of any kind that is known."""
    yield from iter_zip_members(file, limits)


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
        budget = _Budget(limits.max_total_bytes)
        members = [_member(archive, info, limits, budget) for info in infos if not is_junk(info)]
        total_bytes = sum(m.size_bytes for m in members if m.problem is None)
        check_total(total_bytes, archive_bytes, limits)
        yield from members


class _Budget:
    """The bytes that all members together may still unpack to."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.left_bytes = total_bytes

    def spend(self, count: int) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise total_too_large(self.total_bytes)


@dataclass(frozen=True)
class _Source:
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    max_bytes: int
    budget: _Budget

    def open(self) -> BinaryIO:
        with _as_refusal(unreadable):
            stream = self.archive.open(self.info)
        counted = _Counted(stream, self.info.file_size, self.max_bytes, self.budget)
        return io.BufferedReader(counted, _CHUNK_BYTES)


class _Counted(io.RawIOBase):
    """A member's stream that stops at the limits whatever the headers claimed, and refuses to end
    before as many bytes have come as they claimed."""

    def __init__(self, stream: Any, claimed_bytes: int, max_bytes: int, budget: _Budget) -> None:
        self._stream = stream
        self._claimed_bytes = claimed_bytes
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _as_refusal(unreadable):
            data = self._stream.read(min(len(buffer), _CHUNK_BYTES))
        if not data and self._max_bytes - self._left_bytes != self._claimed_bytes:
            raise unreadable()
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise member_too_large(self._max_bytes)
        self._budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _BoundedReads:
    """A file on which a single read is limited.

    `zipfile` reads the whole directory at once and makes an object of each entry before anybody
    can count them; here that read is refused when the directory is larger than it may be.
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
        return self._file.read(size)


def _opened_zip(file: BinaryIO, limits: ArchiveLimits) -> zipfile.ZipFile:
    with _as_refusal(_no_zip):
        try:
            return zipfile.ZipFile(_BoundedReads(file, limits))
        except UnicodeDecodeError as error:
            raise InputRefused(
                "archive-unsafe",
                "A file name in the archive claims to be UTF-8 and is not.",
                "Pack the files again, with zip or the archive tool of the system.",
            ) from error


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
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: ArchiveLimits, budget: _Budget
) -> ArchiveMember:
    name = clean_file_name(readable_name(info))
    problem = member_problem(info, limits)
    if problem is not None:
        return ArchiveMember(name, info.file_size, problem)
    source = _Source(archive, info, limits.max_member_bytes, budget)
    return ArchiveMember(name, info.file_size, None, source)
