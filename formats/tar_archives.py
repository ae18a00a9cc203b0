"""Tar archives that nobody vouches for, plain or in gzip, read as a stream of members.

They have no directory. So they are read twice: once to see that the whole keeps within the limits,
and then for the members, before which nothing has happened.
"""

import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Final

from formats.archive_members import CHUNK_BYTES, ArchiveMember, Budget, CountedStream
from formats.archive_rules import (
    ArchiveLimits,
    is_junk,
    member_too_large,
    name_problem,
    special_file,
    too_many_entries,
    unreadable,
)
from formats.errors import InputRefused
from formats.gzip_stream import GzipStream
from formats.names import clean_file_name
from formats.tar_headers import (
    BLOCK_BYTES,
    FILE_TYPES,
    FOLDER_TYPES,
    LINK_TYPES,
    LONG_NAME_TYPE,
    MAX_EXTENDED_BYTES,
    PASSED_OVER_TYPES,
    PAX_TYPES,
    SPARSE_TYPE,
    BadHeader,
    Extension,
    TarHeader,
    decoded,
    is_zero,
    looks_like_header,
    parse_header,
    parse_pax,
)

GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_EXTENSIONS_IN_A_ROW: Final = 8
_MAX_SPARSE_BLOCKS: Final = 10_000
_TICK_ENTRIES: Final = 256


def looks_like_tar(head: bytes) -> bool:
    """Tell whether a file that starts with `head` (512 bytes or more) is a tar archive."""
    return looks_like_header(head)


def looks_like_tar_gz(head: bytes) -> bool:
    """Tell whether a file that starts with `head` is a tar archive packed by gzip."""
    if not head.startswith(GZIP_MAGIC):
        return False
    try:
        return looks_like_header(zlib.decompressobj(31).decompress(head, BLOCK_BYTES))
    except zlib.error:
        return False


def iter_tar_members(
    file: BinaryIO,
    limits: ArchiveLimits,
    *,
    gzipped: bool,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[ArchiveMember]:
    """Yield the files of a tar archive in its order; as `formats.archives.iter_archive_members`.

    What is damaged or cut short ends with a member that says so: those before it are good.
    """
    _check_whole(_Reader(file, limits, gzipped, tick), limits)
    yield from _Reader(file, limits, gzipped, tick).members()


def _check_whole(reader: "_Reader", limits: ArchiveLimits) -> None:
    entries = 0
    budget = Budget(limits.max_total_bytes)
    for entry in reader.entries():
        entries += 1
        if entries > limits.max_entries:
            raise too_many_entries(limits)
        if entry.problem is None:
            budget.spend(entry.size_bytes)
    if entries == 0 and reader.is_damaged:
        raise InputRefused(
            "not-an-archive",
            "The file is not a tar archive, or it is damaged from its first byte on.",
            "Upload it again; for other kinds of archive, pack the files as zip or tar.",
        )


class _PlainStream:
    """A tar archive that is not packed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, io.SEEK_END)
        self._position = 0

    def read(self, size: int) -> bytes:
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data

    def skip(self, size: int) -> bool:
        self._position += size
        return self._position <= self._end


class _Entry:
    """A file or folder as its headers describe it, with the reason if it must not be read."""

    def __init__(
        self, raw_name: str, size_bytes: int, is_folder: bool, problem: InputRefused | None
    ) -> None:
        self.raw_name = raw_name
        self.size_bytes = size_bytes
        self.is_folder = is_folder
        self.problem = problem


class _Content(io.RawIOBase):
    """The bytes of the member at hand."""

    def __init__(self, reader: "_Reader") -> None:
        self._reader = reader

    def read(self, size: int = -1) -> bytes:
        return self._reader.read_content(size)


class _Reader:
    """One pass through an archive, from its start."""

    def __init__(
        self, file: BinaryIO, limits: ArchiveLimits, gzipped: bool, tick: Callable[[], None]
    ) -> None:
        self._stream = GzipStream(file, limits, tick) if gzipped else _PlainStream(file)
        self._limits = limits
        self._tick = tick
        self._content_left = 0
        self._padding = 0
        self.is_damaged = False

    def members(self) -> Iterator[ArchiveMember]:
        """Yield what is no junk; the last one may say that the archive is damaged."""
        budget = Budget(self._limits.max_total_bytes)
        last = "its beginning"
        for entry in self.entries():
            if entry.is_folder or (is_junk(entry.raw_name) and entry.problem is None):
                continue
            name = clean_file_name(entry.raw_name)
            last = f"'{name}'"
            if entry.problem is not None:
                yield ArchiveMember(name, entry.size_bytes, entry.problem)
                continue
            counted = CountedStream(
                _Content(self), entry.size_bytes, self._limits.max_member_bytes, budget
            )
            opened = partial(io.BufferedReader, counted, CHUNK_BYTES)
            yield ArchiveMember(name, entry.size_bytes, None, opened)
        if self.is_damaged:
            yield ArchiveMember("(the rest of the archive)", 0, _cut_short(last))

    def entries(self) -> Iterator[_Entry]:
        """Yield every file and folder; stops at the end or at damage (`is_damaged`)."""
        try:
            for number, entry in enumerate(self._read_entries()):
                if number % _TICK_ENTRIES == 0:
                    self._tick()
                yield entry
        except (BadHeader, EOFError, zlib.error):
            self.is_damaged = True

    def read_content(self, size: int) -> bytes:
        """Return bytes of the member at hand.

        Raises:
            InputRefused: the archive is damaged here.
        """
        wanted = self._content_left if size < 0 else min(size, self._content_left)
        if wanted == 0:
            return b""
        try:
            data = self._stream.read(wanted)
        except (EOFError, zlib.error) as error:
            raise unreadable() from error
        if not data:
            raise unreadable()
        self._content_left -= len(data)
        return data

    def _read_entries(self) -> Iterator[_Entry]:
        extension, in_a_row = Extension(), 0
        while (header := self._next_header()) is not None:
            if self._extend(header, extension):
                in_a_row += 1
                if in_a_row > MAX_EXTENSIONS_IN_A_ROW:
                    raise BadHeader
                continue
            entry = self._entry(header, extension)
            extension, in_a_row = Extension(), 0
            yield entry
            self._skip_rest()

    def _next_header(self) -> TarHeader | None:
        block = self._stream.read(BLOCK_BYTES)
        if not block or is_zero(block):
            return None
        if len(block) < BLOCK_BYTES:
            raise EOFError
        return parse_header(block)

    def _extend(self, header: TarHeader, extension: Extension) -> bool:
        """Take a header that only speaks about the next one; False if it is none of those."""
        kinds = (*PAX_TYPES, LONG_NAME_TYPE, *PASSED_OVER_TYPES)
        if header.type not in kinds:
            return False
        self._begin_content(header.size_bytes)
        if header.type not in PASSED_OVER_TYPES:
            if header.size_bytes > MAX_EXTENDED_BYTES:
                extension.is_unusable = True
            elif header.type == LONG_NAME_TYPE:
                extension.name = decoded(self._whole_content().partition(b"\x00")[0])
            else:
                parse_pax(self._whole_content(), extension)
        self._skip_rest()
        return True

    def _entry(self, header: TarHeader, extension: Extension) -> _Entry:
        name = header.name if extension.name is None else extension.name
        size_bytes = header.size_bytes if extension.size_bytes is None else extension.size_bytes
        if header.type == SPARSE_TYPE and header.has_more_sparse:
            self._skip_sparse_map()
        has_content = header.type not in LINK_TYPES
        self._begin_content(size_bytes if has_content else 0)
        is_folder = header.type in FOLDER_TYPES or (
            header.type in FILE_TYPES and name.endswith("/")
        )
        problem = None if is_folder else self._problem(name, size_bytes, header.type, extension)
        return _Entry(name, size_bytes if has_content else 0, is_folder, problem)

    def _problem(
        self, name: str, size_bytes: int, kind: bytes, extension: Extension
    ) -> InputRefused | None:
        if extension.is_unusable:
            return InputRefused(
                "archive-unsafe",
                "The extended header of the member is damaged or too large; "
                "pack the files again with the tar of the system.",
            )
        if kind == SPARSE_TYPE or extension.is_sparse:
            return InputRefused(
                "archive-unsafe", "The member is a sparse file; pack it without --sparse."
            )
        if not name:
            return InputRefused("name-unsafe", "The member has no name.")
        if is_junk(name):
            return None
        if kind not in FILE_TYPES:
            return name_problem(name) or special_file()
        if size_bytes > self._limits.max_member_bytes:
            return name_problem(name) or member_too_large(self._limits.max_member_bytes)
        return name_problem(name)

    def _begin_content(self, size_bytes: int) -> None:
        self._content_left = size_bytes
        self._padding = -size_bytes % BLOCK_BYTES

    def _whole_content(self) -> bytes:
        data = self._stream.read(self._content_left)
        if len(data) < self._content_left:
            raise EOFError
        self._content_left = 0
        return data

    def _skip_rest(self) -> None:
        if not self._stream.skip(self._content_left + self._padding):
            raise EOFError
        self._content_left = self._padding = 0

    def _skip_sparse_map(self) -> None:
        for _ in range(_MAX_SPARSE_BLOCKS):
            block = self._stream.read(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                raise EOFError
            if block[504:505] == b"\x00":
                return
        raise BadHeader


def _cut_short(last: str) -> InputRefused:
    return InputRefused(
        "archive-member-unreadable",
        f"The archive is damaged or cut short after {last}: what follows cannot be read. "
        "Pack and upload the missing files again.",
    )
