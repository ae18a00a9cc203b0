"""Names of files in an export: safe on every file system, each used once."""

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Final

from formats.names import clean_file_name

IMAGE_SUFFIXES: Final = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
)
_RESERVED: Final = frozenset(
    ["con", "prn", "aux", "nul"]
    + [f"{device}{number}" for device in ("com", "lpt") for number in range(10)]
)
_FORBIDDEN: Final = frozenset('<>:"|?*')
_MAX_PART_BYTES: Final = 120


def without_suffix(name: str) -> str:
    """Return a name without the suffix of an image, if it has one."""
    lower = name.lower()
    found = next((suffix for suffix in IMAGE_SUFFIXES if lower.endswith(suffix)), "")
    return name[: len(name) - len(found)]


def plain_stem(external_id: str) -> str:
    """Return the name of an image without its suffix; folders stay, nothing else is harmful.

    >>> plain_stem("night/a:1.png")
    'night/a_1'
    """
    name = without_suffix(clean_file_name(external_id))
    return "/".join(_safe_part(part) for part in name.split("/"))


def stems_like(external_id: str) -> Iterator[str]:
    """Yield `a`, `a_2`, `a_3`, … for an image `a.png`."""
    first = plain_stem(external_id)
    yield first
    number = 2
    while True:
        yield f"{first}_{number}"
        number += 1


def _safe_part(part: str) -> str:
    kept = "".join("_" if c in _FORBIDDEN else c for c in part).rstrip(". ") or "_"
    if kept.split(".")[0].lower() in _RESERVED:
        kept = f"_{kept}"
    if len(kept.encode()) > _MAX_PART_BYTES:
        tag = hashlib.sha256(part.encode()).hexdigest()[:8]
        kept = f"{kept.encode()[:_MAX_PART_BYTES].decode(errors='ignore')}-{tag}"
    return kept


class TakenNames:
    """Names that are used already; upper and lower case are one. Takes some 70 bytes a name."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def first_free(self, candidates: Iterator[str]) -> str:
        """Return the first candidate that is free, and take it."""
        for candidate in candidates:
            key = _key(candidate)
            if key not in self._taken:
                self._taken.add(key)
                return candidate
        raise ValueError("the candidates came to an end")


def _key(name: str) -> int:
    folded = unicodedata.normalize("NFC", name.casefold())
    return int.from_bytes(hashlib.sha256(folded.encode()).digest()[:8], "big")
