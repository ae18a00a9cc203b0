"""multipart/form-data, read piece by piece into one temporary file.

Starlette keeps every file below a megabyte in memory, and opens a file descriptor for each that is
larger; thousands of photographs in one request would cost gigabytes or all descriptors. Here a
request has one file without a name, which goes with it, and its parts are windows into it.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, Final, cast

from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

# Parsing, hashing and writing leave the event loop in batches, not for every 64 kB of network.
BATCH_BYTES: Final = 1 << 20
MAX_HEADER_BYTES: Final = 64 * 2**10  # of one part; a long name is cut, not refused
_WINDOW_BUFFER_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class FormLimits:
    """How many parts, and how large a field may be; files are bounded by the body's limit."""

    max_files: int
    max_fields: int
    max_field_bytes: int


@dataclass(frozen=True)
class FieldPart:
    """Any other field of a form."""

    field: str
    value: str


class _Window(io.RawIOBase):
    """A piece of an open file, read only; many may be read at once."""

    def __init__(self, descriptor: int, start: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._size_bytes - self._position))
        if not wanted:
            return 0
        got = os.preadv(self._descriptor, [view[:wanted]], self._start + self._position)
        self._position += got
        return got


@dataclass(frozen=True)
class FilePart:
    """A file of a form; its content can be read as long as the form is open."""

    field: str
    name: str
    size_bytes: int
    sha256: str
    descriptor: int
    start: int

    @property
    def file(self) -> BinaryIO:
        """The content, from its start; another reader each time."""
        window = _Window(self.descriptor, self.start, self.size_bytes)
        return cast(BinaryIO, io.BufferedReader(window, _WINDOW_BUFFER_BYTES))


@dataclass
class _Part:
    """The part that is being read."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    name: str = ""
    file_name: str | None = None
    start: int = 0
    value: bytearray = field(default_factory=bytearray)
    digest: Any = None


class FormReader:
    """Takes the bytes of a body, batch by batch, and keeps its parts.

    Raises (from all methods):
        HTTPException: 400, the body is no such form, or has too many or too large fields.
        OSError: the temporary file could not be written.
    """

    def __init__(self, content_type: str, limits: FormLimits) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise HTTPException(400, "The Content-Type header of the form names no boundary.")
        self._limits = limits
        self._files = self._fields = 0
        self._header_name, self._header_value = b"", b""
        self._part: _Part | None = None
        self._length = 0
        self.parts: list[FilePart | FieldPart] = []
        self._spool: IO[bytes] = tempfile.TemporaryFile(buffering=BATCH_BYTES)  # noqa: SIM115
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                },
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            self.close()
            raise HTTPException(400, "The boundary of the form is not valid.") from error

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise HTTPException(
                400,
                "The body is not valid multipart/form-data, or the name of a file in it is longer "
                f"than {MAX_HEADER_BYTES} bytes.",
            ) from error

    def finish(self) -> None:
        """Make the parts readable."""
        if self._part is not None:
            raise HTTPException(400, "The body ends in the middle of a part. Send all of it.")
        self._spool.flush()

    def close(self) -> None:
        """Give the disk space back; the parts cannot be read any more."""
        self._spool.close()

    def _begin(self) -> None:
        self._part = _Part()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._open_part.headers.append((self._header_name.lower(), self._header_value))
        self._header_name, self._header_value = b"", b""

    def _end_headers(self) -> None:
        part = self._open_part
        disposition = dict(part.headers).get(b"content-disposition")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise HTTPException(400, "A part of the form has no name in its Content-Disposition.")
        part.name = _decoded(options[b"name"])
        if b"filename" not in options:
            self._fields += 1
            if self._fields > self._limits.max_fields:
                raise HTTPException(400, f"More than {self._limits.max_fields} fields in one form.")
            return
        self._files += 1
        if self._files > self._limits.max_files:
            raise HTTPException(
                400,
                f"More than {self._limits.max_files} files in one request "
                "(SELVAGE_MAX_FILES_PER_REQUEST). Send several requests, or an archive.",
            )
        part.file_name = _decoded(options[b"filename"])
        part.start = self._length
        part.digest = hashlib.sha256()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._open_part
        if part.file_name is None:
            if len(part.value) + end - start > self._limits.max_field_bytes:
                raise HTTPException(
                    400, f"A field is larger than {self._limits.max_field_bytes} bytes."
                )
            part.value += data[start:end]
            return
        piece = memoryview(data)[start:end]
        part.digest.update(piece)
        self._spool.write(piece)
        self._length += len(piece)

    def _end(self) -> None:
        part = self._open_part
        self._part = None
        if part.file_name is None:
            self.parts.append(FieldPart(part.name, _decoded(bytes(part.value))))
            return
        size_bytes = self._length - part.start
        digest = part.digest.hexdigest()
        self.parts.append(
            FilePart(
                part.name, part.file_name, size_bytes, digest, self._spool.fileno(), part.start
            )
        )

    @property
    def _open_part(self) -> _Part:
        assert self._part is not None
        return self._part


async def read_form(body: AsyncIterator[bytes], reader: FormReader) -> None:
    """Let `reader` take a body, without keeping the event loop busy; errors as there."""
    waiting: list[bytes] = []
    size_bytes = 0
    async for piece in body:
        waiting.append(piece)
        size_bytes += len(piece)
        if size_bytes >= BATCH_BYTES:
            await run_in_threadpool(reader.feed, b"".join(waiting))
            waiting, size_bytes = [], 0
    await run_in_threadpool(reader.feed, b"".join(waiting))
    await run_in_threadpool(reader.finish)


def _decoded(data: bytes) -> str:
    """UTF-8, as RFC 7578 wants it; latin-1 takes whatever else there is."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
