"""File names as users know them, made safe to store, print and compare."""

import hashlib
import unicodedata
from pathlib import PurePosixPath
from typing import Final

MAX_NAME_CHARS: Final = 512
UNNAMED: Final = "unnamed"
# Control, surrogate and unassigned characters, and the marks that turn the direction of writing.
_STRIPPED_CATEGORIES: Final = frozenset({"Cc", "Cs", "Cn"})
_DIRECTION_MARKS: Final = frozenset(
    "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_MAX_SUFFIX_CHARS: Final = 16


def clean_file_name(raw: str) -> str:
    """Return `raw` as a relative path with forward slashes that is safe to show and to store.

    Sub-folders stay (`night/0001.png`); drive letters, leading slashes and the parts `.` and `..`
    go, as do control characters and marks of writing direction. The result is in Unicode normal
    form C, never empty, and at most 512 characters long; a longer name is cut and keeps its
    extension and a digest of the whole, so that two long names stay two.

    It is a name, not a location: never open a file of the server by it.
    """
    text = unicodedata.normalize("NFC", raw.replace("\\", "/"))
    text = "".join(c for c in text if not _is_stripped(c))
    parts = [part.strip() for part in text.split("/")]
    if parts and len(parts[0]) == 2 and parts[0][1] == ":":
        parts = parts[1:]
    name = "/".join(part for part in parts if part not in ("", ".", ".."))
    return _bounded(name) or UNNAMED


def stem(name: str) -> str:
    """Return the last part of `name` without its folders and its last extension.

    >>> stem("night/frame.0001.png")
    'frame.0001'
    """
    return PurePosixPath(name).stem


def _is_stripped(character: str) -> bool:
    return unicodedata.category(character) in _STRIPPED_CATEGORIES or character in _DIRECTION_MARKS


def _bounded(name: str) -> str:
    if len(name) <= MAX_NAME_CHARS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    suffix = PurePosixPath(name).suffix
    tail = f"~{digest}{suffix if len(suffix) <= _MAX_SUFFIX_CHARS else ''}"
    return name[: MAX_NAME_CHARS - len(tail)] + tail
