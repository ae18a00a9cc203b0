"""A zip archive as a stream of bytes: never whole anywhere, and its directory on disk.

The libraries at hand keep an object of every file until the end, some hundred megabytes for the
files of 100,000 labels. Sizes and checksums stand in front of each file, as old readers need them,
and times are those of the epoch of zip: equal files give equal bytes. ZIP64 where it is needed.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Final

_PIECE_BYTES: Final = 1 << 20
_LEVEL: Final = 6
_STORED, _DEFLATED = 0, 8
_UTF8: Final = 0x800
_PLAIN_VERSION, _ZIP64_VERSION = 20, 45
_MADE_BY_UNIX: Final = 3 << 8
_MODE: Final = 0o100644 << 16
_DATE: Final = (1 << 5) | 1  # 1 January 1980
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
# These are compressed already.
_STORED_SUFFIXES: Final = (".png", ".jpg", ".npz", ".jpeg", ".webp")


@dataclass(frozen=True)
class Packed:
    """A file of an archive, compressed, on disk; close it when it is written."""

    file: IO[bytes]
    crc: int
    raw_bytes: int
    packed_bytes: int

    def __enter__(self) -> "Packed":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def packed(pieces: Iterable[bytes]) -> Packed:
    """Compress a file of any size into a temporary one.

    Raises:
        OSError: the disk is full.
    """
    file = TemporaryFile()  # noqa: SIM115  # closed by Packed
    try:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        crc = raw_bytes = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            raw_bytes += len(piece)
            file.write(packer.compress(piece))
        file.write(packer.flush())
        packed_bytes = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Packed(file, crc, raw_bytes, packed_bytes)


class ZipStream:
    """Yields the bytes of an archive, file by file; `end` last. Use it in a `with` block."""

    def __init__(self) -> None:
        self._directory = TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._offset = 0
        self._count = 0

    def __enter__(self) -> "ZipStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.close()

    def member(self, path: str, data: bytes) -> Iterator[bytes]:
        """Yield a file that is in memory."""
        crc = zlib.crc32(data)
        if path.endswith(_STORED_SUFFIXES):
            yield self._begin(path, _STORED, crc, len(data), len(data))
            yield data
            return
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(data) + packer.flush()
        yield self._begin(path, _DEFLATED, crc, len(data), len(body))
        yield body

    def file(self, path: str, content: Packed) -> Iterator[bytes]:
        """Yield a file that lies packed on disk."""
        sizes = content.crc, content.raw_bytes, content.packed_bytes
        yield self._begin(path, _DEFLATED, *sizes)
        while piece := content.file.read(_PIECE_BYTES):
            yield piece

    def end(self) -> Iterator[bytes]:
        """Yield the directory."""
        size = self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(_PIECE_BYTES):
            yield piece
        count, offset = self._count, self._offset
        if count >= _MAX16 or offset >= _MAX32 or size >= _MAX32:
            numbers = (_ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count, size, offset)
            yield struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, *numbers)
            yield struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)
        short, start = min(count, _MAX16), min(offset, _MAX32)
        yield struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, short, short, min(size, _MAX32), start, 0
        )

    def _begin(self, path: str, method: int, crc: int, raw_bytes: int, packed_bytes: int) -> bytes:
        """Return the header of a file, and note the file in the directory."""
        name = path.encode()
        is_large = max(raw_bytes, packed_bytes) >= _MAX32
        extra = struct.pack("<2H2Q", 1, 16, raw_bytes, packed_bytes) if is_large else b""
        version = _ZIP64_VERSION if is_large else _PLAIN_VERSION
        sizes = (_MAX32, _MAX32) if is_large else (packed_bytes, raw_bytes)
        fixed = struct.pack("<5HL2L", version, _UTF8, method, 0, _DATE, crc, *sizes)
        header = b"PK\x03\x04" + fixed + struct.pack("<2H", len(name), len(extra)) + name + extra
        self._note(name, fixed, extra)
        self._offset += len(header) + packed_bytes
        self._count += 1
        return header

    def _note(self, name: bytes, fixed: bytes, extra: bytes) -> None:
        start = min(self._offset, _MAX32)
        if start == _MAX32:
            extra = struct.pack("<2H", 1, len(extra[4:]) + 8) + extra[4:]
            extra += struct.pack("<Q", self._offset)
        lengths = struct.pack("<5H2L", len(name), len(extra), 0, 0, 0, _MODE, start)
        made_by = struct.pack("<H", _MADE_BY_UNIX | _ZIP64_VERSION)
        self._directory.write(b"PK\x01\x02" + made_by + fixed + lengths + name + extra)
