"""CVAT's "Segmentation mask 1.1": colours of classes, colours of objects, and `labelmap.txt`."""

from collections.abc import Iterator
from itertools import count
from typing import Final, Literal

import numpy as np

from formats.class_palettes import cvat_names, distinct_colours
from formats.classes_json import default_palette
from formats.exports.base import (
    Classes,
    Components,
    Document,
    Entry,
    ExportOptions,
    Grey,
    LabelledImage,
    Loss,
    Member,
    Piece,
    colours_changed,
    confidence_left_out,
    lines_document,
    names_changed,
    present,
)
from formats.exports.names import stems_like
from formats.exports.pngs import png_of
from formats.index_png import IGNORE_COLOUR, IGNORE_INDEX

BACKGROUND: Final = "background"
MAX_OBJECTS: Final = 255
_UNUSED: Final = [0, 0, 0]


class CvatMask:
    """`SegmentationClass`, `SegmentationObject`, `ImageSets/Segmentation`, `labelmap.txt`.

    The first line of the label map is `background`, which is our ignore. Each connected part of a
    class is an object; CVAT keeps at most 255 of them.
    """

    confidence: Literal["none", "file", "pixels"] = "none"
    documents: tuple[Document, ...] = (
        lines_document("ImageSets/Segmentation/default.txt", "names"),
    )

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._components = components
        self._names = cvat_class_names(classes)
        self._colours = distinct_colours([c.color for c in classes])
        used = [IGNORE_COLOUR, *self._colours]
        flat = [channel for colour in used for channel in colour]
        self._palette = flat + _UNUSED * (256 - len(used))

    def planned_losses(self) -> Iterator[Loss]:
        pairs = zip((c.name for c in self._classes), self._names, strict=True)
        yield from names_changed("CVAT reads names of one line without ':'", pairs)
        yield from colours_changed("CVAT", self._classes, self._colours)
        yield Loss(
            "objects-merged",
            f"An image with more than {MAX_OBJECTS} connected parts has one object a class.",
            is_loss=False,
            may_happen=True,
        )
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        lines = ["# label:color_rgb:parts:actions", f"{BACKGROUND}:0,0,0::"]
        for name, (red, green, blue) in zip(self._names, self._colours, strict=True):
            lines.append(f"{name}:{red},{green},{blue}::")
        yield Member("labelmap.txt", "\n".join([*lines, ""]).encode())

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        table = np.zeros(IGNORE_INDEX + 1, np.uint8)
        table[: len(self._classes)] = np.arange(1, len(self._classes) + 1)
        yield Member(
            f"SegmentationClass/{image.stem}.png", png_of(table.take(image.label), self._palette)
        )
        objects, merged = self._objects(image.label)
        if merged:
            yield Loss(
                "objects-merged",
                f"An image has more than {MAX_OBJECTS} connected parts: its objects are whole "
                "classes.",
                is_loss=False,
            )
        yield Member(f"SegmentationObject/{image.stem}.png", png_of(objects, _OBJECT_PALETTE))
        yield Entry("names", image.stem.encode())
        if image.picture is not None:
            yield Member(f"JPEGImages/{image.image_name}", image.picture.data)

    def _objects(self, label: Grey) -> tuple[Grey, bool]:
        """Return numbers of objects, uint8 `(H, W)`, and whether they are whole classes."""
        found = np.zeros(label.shape, np.int32)
        there = present(label, self._classes)
        taken = 0
        for one, _ in there:
            mask = label == one.id
            parts = self._components(mask)
            np.copyto(found, parts + taken, where=mask)
            taken += int(parts.max())
        if taken <= MAX_OBJECTS:
            return found.astype(np.uint8), False
        table = np.zeros(IGNORE_INDEX + 1, np.uint8)
        for number, (one, _) in enumerate(there, start=1):
            table[one.id] = number
        return table[label], True


def cvat_class_names(classes: Classes) -> list[str]:
    """Return the names of classes as CVAT keeps them beside its own `background`."""
    names = cvat_names(c.name for c in classes)
    if BACKGROUND in names:
        free = (f"{BACKGROUND}_{number}" for number in count(2))
        names[names.index(BACKGROUND)] = next(name for name in free if name not in names)
    return names


_OBJECT_PALETTE: Final = [
    channel for colour in (IGNORE_COLOUR, *default_palette(MAX_OBJECTS)) for channel in colour
]
