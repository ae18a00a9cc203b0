"""Files in archives of any kind: streams with bounds that hold whatever the headers claim."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from formats.archive_rules import member_too_large, total_too_large, unreadable
from formats.errors import InputRefused

CHUNK_BYTES: Final = 1 << 18


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
    _open: Callable[[], BinaryIO] | None = field(default=None, repr=False, compare=False)

    def open(self) -> BinaryIO:
        """Return the content as a stream, bounded by real bytes; not seekable.

        Open it once, and read it before the next member is taken from the iterator.

        Raises:
            InputRefused: this member's problem. Reading raises it as well: the content is
                damaged (`archive-member-unreadable`) or larger than the limits
                (`archive-too-large`).
        """
        if self._open is None:
            raise self.problem or InputRefused("archive-unsafe", "The member cannot be read.")
        return self._open()


class Budget:
    """The bytes that all members together may still unpack to."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.left_bytes = total_bytes

    def spend(self, count: int) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise total_too_large(self.total_bytes)


@contextmanager
def nothing_to_translate() -> Iterator[None]:
    """For streams that raise no errors but ours."""
    yield


class CountedStream(io.RawIOBase):
    """A member's stream that stops at the limits whatever the headers claimed, and refuses to end
    before as many bytes have come as they claimed."""

    def __init__(
        self,
        stream: Any,
        claimed_bytes: int,
        max_bytes: int,
        budget: Budget,
        translated: Callable[[], AbstractContextManager[None]] = nothing_to_translate,
    ) -> None:
        self._stream = stream
        self._claimed_bytes = claimed_bytes
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._budget = budget
        self._translated = translated

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._translated():
            data = self._stream.read(min(len(buffer), CHUNK_BYTES))
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
