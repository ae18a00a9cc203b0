"""Multipart bodies that are read from disk while they are sent, and can be sent again."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from anyio import to_thread

from selvage_client.errors import invalid_input

CHUNK_BYTES: Final = 256 * 1024
BytesProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class FilePart:
    """One file of a request. `open` gives a new reader each time, `size_bytes` long."""

    file_name: str
    media_type: str
    size_bytes: int
    open: Callable[[], BinaryIO]


class MultipartBody:
    """The body of a `multipart/form-data` request; every iteration yields the same bytes.

    Files are opened one at a time, so a folder of any size needs one file handle and one chunk of
    memory.

    Args:
        fields: form fields, sent before the files.
        files: form field name and file, in order.
        on_bytes: called with (bytes sent, bytes in all) after each chunk.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        files: Sequence[tuple[str, FilePart]],
        on_bytes: BytesProgress | None = None,
    ) -> None:
        self._boundary = secrets.token_hex(16)
        self._fields = [(self._field_head(name), value.encode()) for name, value in fields]
        self._files = [(self._file_head(name, part), part) for name, part in files]
        self._tail = f"--{self._boundary}--\r\n".encode()
        self._on_bytes = on_bytes

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def size_bytes(self) -> int:
        """Length of the whole body."""
        fields = sum(len(head) + len(value) + 2 for head, value in self._fields)
        files = sum(len(head) + part.size_bytes + 2 for head, part in self._files)
        return fields + files + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in chunks of about `CHUNK_BYTES`.

        Raises:
            InvalidInput: a file is gone or has another size than when the request was built.
        """
        total = self.size_bytes
        sent = 0
        pending = bytearray()
        for piece in self._pieces():
            pending += piece
            if len(pending) >= CHUNK_BYTES:
                sent += len(pending)
                yield bytes(pending)
                pending.clear()
                self._report(sent, total)
        yield bytes(pending)
        self._report(total, total)

    def _report(self, sent: int, total: int) -> None:
        if self._on_bytes is not None:
            self._on_bytes(sent, total)

    def _pieces(self) -> Iterator[bytes]:
        for head, value in self._fields:
            yield head + value + b"\r\n"
        for head, part in self._files:
            yield head
            yield from _read_exactly(part)
            yield b"\r\n"
        yield self._tail

    def _field_head(self, name: str) -> bytes:
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        ).encode()

    def _file_head(self, name: str, part: FilePart) -> bytes:
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"; '
            f'filename="{_quoted(part.file_name)}"\r\n'
            f"Content-Type: {part.media_type}\r\n\r\n"
        ).encode()


class AsyncBody:
    """The same body for an asynchronous client; disk reads happen in a thread."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self._body)
        while chunk := await to_thread.run_sync(next, chunks, b""):
            yield chunk


def file_part(path: Path, file_name: str, media_type: str) -> FilePart:
    """Return the part for a file on disk.

    Raises:
        InvalidInput: the file cannot be read.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise invalid_input(f"'{path}' cannot be read ({error.strerror}).") from error
    return FilePart(file_name, media_type, size_bytes, lambda: path.open("rb"))


def _quoted(file_name: str) -> str:
    """Escape a name as the HTML standard does, so that it cannot end its header."""
    return file_name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _read_exactly(part: FilePart) -> Iterator[bytes]:
    left = part.size_bytes
    try:
        with part.open() as file:
            while chunk := file.read(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise invalid_input(f"'{part.file_name}' cannot be read ({error.strerror}).") from error
    if left != 0:
        raise invalid_input(
            f"'{part.file_name}' changed while it was being sent. Send it again when it is whole."
        )
