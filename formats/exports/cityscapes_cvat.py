"""CVAT's own dialect of Cityscapes: its label indices, and `label_colors.txt`.

CVAT numbers the labels by the lines of `label_colors.txt`, not by Cityscapes' ids, and reads
`instanceIds` alone: without that file nothing is imported, and nothing is said.
"""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from formats.class_palettes import distinct_colours
from formats.exports.base import (
    Classes,
    Components,
    Document,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Piece,
    colours_changed,
    confidence_left_out,
    names_changed,
    present,
)
from formats.exports.cityscapes import INSTANCES_PER_LABEL
from formats.exports.cvat_mask import BACKGROUND, cvat_class_names
from formats.exports.names import stems_like
from formats.exports.pngs import png_of
from formats.index_png import IGNORE_COLOUR, IGNORE_INDEX

# 16 bits hold index * 1000 + n up to here
MAX_INDEX_WITH_INSTANCES: Final = 64


class CityscapesCvat:
    """`gtFine/SPLIT/NAME_gtFine_….png`, `label_colors.txt`, images in `imgsFine/leftImg8bit/`.

    A class is one mask an image; with `components` a thing has one for each connected part.
    """

    confidence: Literal["none", "file", "pixels"] = "none"
    documents: tuple[Document, ...] = ()

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._options = options
        self._components = components if options.components else None
        self._names = _words(cvat_class_names(classes))
        self._colours = distinct_colours([c.color for c in classes])
        # index 0 is the background, our ignore
        self._table = np.zeros(IGNORE_INDEX + 1, np.uint8)
        self._table[: len(classes)] = np.arange(1, len(classes) + 1)
        self._rgb = np.zeros((IGNORE_INDEX + 1, 3), np.uint8)
        self._rgb[: len(classes)] = self._colours
        self._rgb[IGNORE_INDEX] = IGNORE_COLOUR

    def planned_losses(self) -> Iterator[Loss]:
        pairs = zip((c.name for c in self._classes), self._names, strict=True)
        yield from names_changed("This dialect reads names without spaces and ':'", pairs)
        yield from colours_changed("CVAT", self._classes, self._colours)
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        lines = [f"0 0 0 {BACKGROUND}"]
        for name, (red, green, blue) in zip(self._names, self._colours, strict=True):
            lines.append(f"{red} {green} {blue} {name}")
        yield Member("label_colors.txt", "\n".join([*lines, ""]).encode())

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        base = f"gtFine/{self._options.split}/{image.stem}_gtFine"
        indices = self._table[image.label]
        instances = indices.astype(np.uint16)
        merged = False
        for one, _ in present(image.label, self._classes):
            index = one.id + 1
            if self._components is None or one.kind != "thing" or index > MAX_INDEX_WITH_INSTANCES:
                continue
            parts = self._components(image.label == one.id)
            merged |= int(parts.max()) > INSTANCES_PER_LABEL
            counted = (parts > 0) & (parts <= INSTANCES_PER_LABEL)
            numbers = index * INSTANCES_PER_LABEL + parts[counted] - 1
            instances[counted] = numbers.astype(np.uint16)
        if merged:
            yield Loss(
                "instances-merged",
                f"More than {INSTANCES_PER_LABEL} parts of one class in an image: the smallest of "
                "them are one object.",
                is_loss=False,
            )
        yield Member(f"{base}_instanceIds.png", png_of(instances))
        yield Member(f"{base}_labelIds.png", png_of(indices))
        yield Member(f"{base}_color.png", png_of(self._rgb[image.label]))
        if image.picture is not None:
            folder = f"imgsFine/leftImg8bit/{self._options.split}"
            name = f"{image.stem}_leftImg8bit.{image.picture.suffix}"
            yield Member(f"{folder}/{name}", image.picture.data)


def _words(names: list[str]) -> list[str]:
    """Return names without white space, no two alike; names without any stay."""
    found: list[str] = []
    plain = {name for name in names if not any(c.isspace() for c in name)}
    for name in names:
        word = name if name in plain else "".join(name.split())
        number = 2
        while name not in plain and (word in plain or word in found):
            word, number = f"{''.join(name.split())}_{number}", number + 1
        found.append(word)
    return found
