"""Units of collection: objects that come and go together, named by a key or a folder of keys."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from api_schemas.ids import ULID_PATTERN

_DIGEST: Final = "[0-9a-f]{64}"
# kind → what its units look like; what looks otherwise was not put there by us and stays
_PATTERNS: Final = {
    "images": re.compile(rf"(images/[0-9a-f]{{2}}/({_DIGEST}))"),
    "labels": re.compile(rf"(labels/[0-9a-f]{{2}}/({_DIGEST}))/.+"),
    "evidence": re.compile(rf"(evidence/[0-9a-f]{{2}}/({_DIGEST})\.npz)"),
    "samples": re.compile(rf"(samples/(job_{ULID_PATTERN}))/{_DIGEST}\.npz"),
    "checkpoints": re.compile(rf"(checkpoints/(job_{ULID_PATTERN}))/{_DIGEST}"),
    "fits": re.compile(rf"(fits/[a-z]+/({_DIGEST})\.json)"),
    "models": re.compile(rf"(models/({_DIGEST}))/.+"),
    "annotations": re.compile(rf"(annotations/[0-9a-f]{{2}}/({_DIGEST})\.png)"),
    "uploads": re.compile(rf"(uploads/(upl_{ULID_PATTERN}))/.+"),
    "exports": re.compile(rf"(exports/(job_{ULID_PATTERN}))/[0-9]+\.zip"),
    "worklists": re.compile(rf"(worklists/(req_{ULID_PATTERN})\.jsonl)"),
}
KINDS: Final = tuple(_PATTERNS)
_SHARDED: Final = ("images", "labels", "evidence", "annotations")
_FOLDERS: Final = (
    "labels",
    "samples",
    "checkpoints",
    "models",
    "uploads",
    "exports",
)  # kinds whose units are folders
_NAME: Final = re.compile(rf"({_DIGEST}|(?:upl|req|job)_{ULID_PATTERN})")


def unit_of(key: str) -> str | None:
    """Return the unit of an object; None where the collector has nothing to do with it."""
    pattern = _PATTERNS.get(key.partition("/")[0])
    match = pattern.fullmatch(key) if pattern else None
    return match[1] if match else None


def units_of(keys: Iterable[str]) -> list[str]:
    """Return the distinct units of objects, in order."""
    return sorted({unit for unit in map(unit_of, keys) if unit is not None})


def kind_of(unit: str) -> str:
    """Return `images`, `labels`, …"""
    return unit.partition("/")[0]


def name_of(unit: str) -> str:
    """Return the digest, or the id of the upload, request or job, that a unit is named after.

    Raises:
        ValueError: not a unit.
    """
    match = _NAME.search(unit)
    if match is None:
        raise ValueError(f"not a unit of collection: {unit!r}")
    return match[1]


def is_folder(unit: str) -> bool:
    """Whether a unit is a folder of objects, and not one."""
    return kind_of(unit) in _FOLDERS


def shards() -> Iterator[str]:
    """Yield folders that together hold every unit, each small enough for one look."""
    yield from ("uploads", "worklists", "exports", "models", "samples", "checkpoints", "fits")
    for prefix in range(256):
        yield from (f"{kind}/{prefix:02x}" for kind in _SHARDED)
