"""Facts that Pillow gives only after costly work, read from the bytes of the headers."""

import struct
from typing import BinaryIO, Final

WEBP_HEADER_BYTES: Final = 30
_PNG_SIGNATURE_BYTES: Final = 8
_MAX_WALKED_CHUNKS: Final = 100_000
_ORIENTATION_KEYS: Final = (b"Raw profile type exif\x00", b"XML:com.adobe.xmp\x00")


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return (width_px, height_px) of the canvas from the first 30 bytes of a WebP file.

    None where they are malformed. Needed before `Image.open`, since Pillow's WebP plugin
    allocates the whole canvas in it. Source: RFC 9649, sections 2.5-2.7.
    """
    if len(head) < WEBP_HEADER_BYTES:
        return None
    chunk = head[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        return width, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def png_has_late_orientation(file: BinaryIO) -> bool:
    """Tell whether a PNG may state its orientation only after the pixels.

    Walks the chunk headers and seeks over the data: the order that the PNG specification allows
    and ImageMagick uses puts `eXIf` and text behind `IDAT`, where a header-only read misses it.
    True as well for a file of so many chunks that the walk is given up.
    """
    file.seek(_PNG_SIGNATURE_BYTES)
    pixels_seen = False
    for _ in range(_MAX_WALKED_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return False
        length, kind = struct.unpack(">I4s", header)
        pixels_seen = pixels_seen or kind == b"IDAT"
        if kind == b"IEND":
            return False
        start = file.tell()
        if pixels_seen and kind == b"eXIf":
            return True
        if pixels_seen and kind in (b"tEXt", b"zTXt", b"iTXt"):
            key = file.read(max(map(len, _ORIENTATION_KEYS)))
            if key.startswith(_ORIENTATION_KEYS):
                return True
        file.seek(start + length + 4)
    return True


def png_bit_depth(data: bytes) -> int:
    """Return the bits per sample that the IHDR chunk of a PNG states (1, 2, 4, 8 or 16)."""
    return data[24]
