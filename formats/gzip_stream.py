"""What gzip unpacks to, piece by piece, with a bound on how much comes out of how little."""

import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

from formats.archive_rules import ArchiveLimits, most_unpacked_bytes, too_dense, total_too_large

_PIECE_BYTES: Final = 1 << 16
_GZIP_WINDOW_BITS: Final = 31
# Headers and padding of a tar archive come on top of its files.
_OVERHEAD_BYTES_PER_ENTRY: Final = 4096


class GzipStream:
    """A forward-only stream; members of gzip that follow each other are one stream.

    Reading raises `zlib.error` where the file is damaged, `EOFError` where it is cut short, and
    `InputRefused` where it turns out to be a bomb.
    """

    def __init__(self, file: BinaryIO, limits: ArchiveLimits, tick: Callable[[], None]) -> None:
        self._file = file
        self._limits = limits
        self._tick = tick
        file_bytes = file.seek(0, 2)
        file.seek(0)
        self._most_bytes = most_unpacked_bytes(file_bytes, limits)
        overhead = limits.max_entries * _OVERHEAD_BYTES_PER_ENTRY
        self._total_bytes = limits.max_total_bytes + overhead
        self._position = 0  # in the file: who reads members may move it
        self._packed = b""
        self._unpacked = bytearray()
        self._count = 0
        self._inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        while len(self._unpacked) < size and not self._ended:
            self._inflate()
        data = bytes(self._unpacked[:size])
        del self._unpacked[:size]
        return data

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes; False if there are fewer."""
        while size > 0:
            data = self.read(min(size, _PIECE_BYTES))
            if not data:
                return False
            size -= len(data)
        return True

    def _inflate(self) -> None:
        if not self._packed:
            self._file.seek(self._position)
            self._packed = self._file.read(_PIECE_BYTES)
            self._position += len(self._packed)
            self._tick()
            if not self._packed:
                raise EOFError("gzip ends before its time")
        data = self._inflater.decompress(self._packed, _PIECE_BYTES)
        self._packed = self._inflater.unconsumed_tail
        self._count += len(data)
        if self._count > self._most_bytes:
            raise too_dense(self._limits)
        if self._count > self._total_bytes:
            raise total_too_large(self._limits.max_total_bytes)
        self._unpacked += data
        if self._inflater.eof:
            self._begin_next(self._inflater.unused_data)

    def _begin_next(self, rest: bytes) -> None:
        """Go on with a further member of gzip; other things behind the end are ignored."""
        if len(rest) < 2:
            self._file.seek(self._position)
            more = self._file.read(_PIECE_BYTES)
            self._position += len(more)
            rest += more
        self._ended = rest[:2] != b"\x1f\x8b"
        self._packed = b"" if self._ended else rest
        self._inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
