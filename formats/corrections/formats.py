"""One reader for each format of an import."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

from formats.class_palettes import cvat_names
from formats.corrections.coco import read_coco
from formats.corrections.cvat_masks import read_cvat_masks
from formats.corrections.index_pngs import read_index_pngs
from formats.corrections.label_studio import read_label_studio
from formats.corrections.masks import ClassMap, FoundMask, ReadLimits
from formats.label_setup import label_studio_names

Reader = Callable[[BinaryIO, ClassMap, ReadLimits], Iterator[FoundMask]]
READERS: Final[Mapping[str, Reader]] = {
    "index_png": read_index_pngs,
    "label_studio": read_label_studio,
    "cvat": read_cvat_masks,
    "coco": read_coco,
}


def class_map(names: list[str], *, ignore_unknown: bool = False) -> ClassMap:
    """Return how classes of an export are known: by name, or as CVAT or Label Studio spell it."""
    spelled = {name: index for index, name in enumerate(label_studio_names(names))}
    spelled |= {name: index for index, name in enumerate(cvat_names(names))}
    return ClassMap(tuple(names), ignore_unknown, spelled)
