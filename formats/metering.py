"""A file that counts what an image parser takes from it, and stops one that takes too much.

Pillow handles metadata piece by piece in Python, some of it in quadratic time, and builds objects
from tables before anybody sees the image: 100 MB of EXIF segments, of empty PNG chunks or of TIFF
tile offsets cost it a minute and gigabytes, while the image is 8 x 8 pixels. Counting reads and
bytes bounds all of that without a second parser for each format.
"""

from typing import BinaryIO, Final

from formats.errors import InputRefused

MAX_READS: Final = 500_000


class MeteredFile:
    """The part of a binary file that Pillow's plugins need, with a bound on reads and bytes."""

    def __init__(self, file: BinaryIO, max_bytes: int | None) -> None:
        self._file = file
        self._reads_left = MAX_READS
        self._bytes_left = max_bytes
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Read as the file does; raise `InputRefused` when a bound is passed."""
        data = self._file.read(size)
        self._reads_left -= 1
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
        if self._reads_left < 0 or (self._bytes_left is not None and self._bytes_left < 0):
            raise InputRefused(
                "image-too-large",
                "The file carries more metadata (EXIF, XMP, text, layers, tiny chunks) "
                "than an image needs.",
                "Save it again without metadata and layers.",
            )
        return data

    def lift_bytes(self) -> None:
        """Let any number of bytes pass from here on: the header is read, the pixels follow."""
        self._bytes_left = None
