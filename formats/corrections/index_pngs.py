"""A zip of index PNGs with a `classes.json`."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Final

import numpy as np

from formats.archive_members import ArchiveMember
from formats.archives import iter_zip_members
from formats.classes_json import parse_classes_json
from formats.corrections.masks import (
    ClassMap,
    FoundMask,
    Label,
    ReadLimits,
    require_size,
    stem,
)
from formats.index_png import IGNORE_INDEX, decode_label_png

CLASSES_FILE: Final = "classes.json"
# beside the labels in our own exports
_OTHER_FOLDERS: Final = {"confidence", "images", "soft"}


def read_index_pngs(file: BinaryIO, classes: ClassMap, limits: ReadLimits) -> Iterator[FoundMask]:
    """Yield the PNGs of a zip, each the mask of the image of its name.

    Without `classes.json` the values of the PNGs are the class indices themselves.

    Raises:
        InputRefused: it is no zip, or its `classes.json` cannot be used.
    """
    table, ignore_value = _table(file, classes, limits)
    for member in iter_zip_members(file, limits.archive):
        if not member.name.lower().endswith(".png") or _is_other(member.name):
            continue
        name = stem(member.name)
        names = (name, *_tails(name))
        decode = partial(_decode, member, table, ignore_value, limits, classes=classes)
        yield FoundMask(member.name, names, decode)


def _is_other(name: str) -> bool:
    return not _OTHER_FOLDERS.isdisjoint(name.lower().split("/")[:-1])


def _tails(name: str) -> Iterator[str]:
    """Yield the path without its first folder, its first two, …"""
    parts = name.split("/")
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])


def _table(
    file: BinaryIO, classes: ClassMap, limits: ReadLimits
) -> tuple[dict[int, str] | None, int]:
    for member in iter_zip_members(file, limits.archive):
        if member.name.rsplit("/", 1)[-1] == CLASSES_FILE:
            with member.open() as opened:
                found = parse_classes_json(opened.read())
            return {entry.id: entry.name for entry in found.classes}, found.stored_ignore_value
    return None, IGNORE_INDEX


def _decode(
    member: ArchiveMember,
    table: dict[int, str] | None,
    ignore_value: int,
    limits: ReadLimits,
    height_px: int,
    width_px: int,
    *,
    classes: ClassMap,
) -> Label:
    with member.open() as opened:
        data = opened.read()
    count = len(classes.names) if table is None else len(table)
    label = decode_label_png(data, limits.image, count, ignore_value)
    require_size(label, height_px, width_px)
    if table is None:
        return label
    mapped = np.full(256, IGNORE_INDEX, np.uint8)
    for value in np.unique(label):
        if value != IGNORE_INDEX:
            mapped[value] = classes.index_of(table[int(value)])
    return mapped[label]
