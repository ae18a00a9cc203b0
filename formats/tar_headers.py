"""Headers of tar archives: the 512 bytes of old, and the extended ones of POSIX (pax) and GNU.

Read here and not by `tarfile`, which takes names, extended headers and sparse maps of any size into
memory before anybody can say no.
"""

import re
from dataclasses import dataclass
from typing import Final

BLOCK_BYTES: Final = 512
MAX_EXTENDED_BYTES: Final = 64 << 10
FILE_TYPES: Final = frozenset({b"0", b"\x00", b"7"})
LINK_TYPES: Final = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})  # have no content of their own
FOLDER_TYPES: Final = frozenset({b"5", b"D"})
PAX_TYPES: Final = frozenset({b"x", b"X"})
SPARSE_TYPE: Final = b"S"
LONG_NAME_TYPE: Final = b"L"
# for all that follows (a name there would be one for all), long link, label: nothing to be had
PASSED_OVER_TYPES: Final = frozenset({b"g", b"K", b"V"})
_ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
_OCTAL: Final = re.compile(rb"[ \x00]*([0-7]*)[ \x00]*")
_SIZE: Final = re.compile(r"[0-9]{1,18}")


class BadHeader(Exception):
    """The block is no header of a tar archive: from here on it cannot be read."""


@dataclass(frozen=True)
class TarHeader:
    """What one header claims."""

    name: str
    type: bytes
    size_bytes: int
    has_more_sparse: bool


@dataclass
class Extension:
    """What extended headers say about the member that follows."""

    name: str | None = None
    size_bytes: int | None = None
    is_sparse: bool = False
    is_unusable: bool = False


def decoded(raw: bytes) -> str:
    """Return a name as text: UTF-8, else Latin-1, in which every byte means something."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def is_zero(block: bytes) -> bool:
    """Tell whether a block marks the end."""
    return block == _ZERO_BLOCK


def parse_header(block: bytes) -> TarHeader:
    """Return what a block of 512 bytes says.

    Raises:
        BadHeader: a wrong checksum, or numbers that are none.
    """
    checksum = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    # some old tars added up signed bytes
    if checksum != sum(blanked) and checksum != sum(memoryview(blanked).cast("b")):
        raise BadHeader
    raw_name = block[:100].partition(b"\x00")[0]
    if block[257:263] == b"ustar\x00":  # GNU's own variant has other things here
        prefix = block[345:500].partition(b"\x00")[0]
        raw_name = prefix + b"/" + raw_name if prefix else raw_name
    return TarHeader(
        name=decoded(raw_name),
        type=block[156:157],
        size_bytes=_number(block[124:136]),
        has_more_sparse=block[482:483] not in (b"\x00", b""),
    )


def looks_like_header(head: bytes) -> bool:
    """Tell whether a file that starts with `head` claims to be a tar archive."""
    if len(head) < BLOCK_BYTES:
        return False
    if head[257:262] == b"ustar":
        return True
    try:
        header = parse_header(head[:BLOCK_BYTES])
    except BadHeader:
        return False
    return bool(header.name)


def parse_pax(data: bytes, extension: Extension) -> None:
    """Add what the records `length key=value` of an extended header say; bad ones spoil it."""
    while data.strip(b"\x00"):
        length_text, _, _ = data.partition(b" ")
        if not length_text.isdigit() or len(length_text) > 6:
            extension.is_unusable = True
            return
        length = int(length_text)
        record, data = data[len(length_text) + 1 : length], data[length:]
        key, separator, value = record.partition(b"=")
        is_whole = len(length_text) < length == len(length_text) + 1 + len(record)
        if not separator or not is_whole or not value.endswith(b"\n"):
            extension.is_unusable = True
            return
        _apply(decoded(key), decoded(value[:-1]), extension)


def _apply(key: str, value: str, extension: Extension) -> None:
    if key == "path":
        extension.name = value
    elif key == "size" and _SIZE.fullmatch(value):
        extension.size_bytes = int(value)
    elif key == "size":
        extension.is_unusable = True
    elif key.startswith("GNU.sparse"):
        extension.is_sparse = True


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":  # GNU: binary, for what octal has no room for
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise BadHeader
    return int(match[1] or b"0", 8)
