"""File names for labels: readable, safe on every file system, each used once."""

import hashlib
import unicodedata
from pathlib import PurePosixPath
from typing import Final

from selvage_client.uploads import IMAGE_MEDIA_TYPES

LONGEST_NAME_BYTES: Final = 120
RESERVED: Final = frozenset(
    ["con", "prn", "aux", "nul"]
    + [f"{device}{number}" for device in ("com", "lpt") for number in range(10)]
)


class SafeNames:
    """Gives every external id its own file stem, without separators, dots in front or control.

    The same ids in the same order give the same stems. Names that differ in case alone count as
    equal, because some file systems see them so.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def stem(self, external_id: str) -> str:
        """Return the stem for an id: `a/b.png` → `a_b`; a second `a_b` → `a_b-1f3870be`."""
        wanted = safe_stem(external_id)
        stem = wanted
        attempt = 0
        while _key(stem) in self._taken:
            stem = f"{wanted}-{_tag(external_id, attempt)}"
            attempt += 1
        self._taken.add(_key(stem))
        return stem


def safe_stem(external_id: str) -> str:
    """Return a name that stays in its folder, whatever the id is."""
    path = external_id.replace("\\", "/")
    suffix = PurePosixPath(path).suffix
    if suffix.lower() in IMAGE_MEDIA_TYPES:
        path = path[: -len(suffix)]
    kept = "".join(c if c.isalnum() or c in "._- " else "_" for c in path.strip("/"))
    stem = kept.strip(". ") or "_"
    if stem.split(".")[0].lower() in RESERVED:
        stem = f"_{stem}"
    if len(stem.encode()) > LONGEST_NAME_BYTES:
        short = stem.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore").rstrip(". ")
        stem = f"{short}-{_tag(external_id, 0)}"
    return stem


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _tag(external_id: str, attempt: int) -> str:
    return hashlib.sha256(f"{attempt}\n{external_id}".encode()).hexdigest()[:8]
