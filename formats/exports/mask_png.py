"""Index PNGs with `classes.json`: what Selvage stores, and reads again."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from formats.exports.base import (
    Classes,
    Document,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Piece,
    json_file,
)
from formats.exports.names import stems_like
from formats.index_png import encode_confidence_png, encode_label_png


class MaskPng:
    """`labels/NAME.png`, `confidence/NAME.png` and, if wanted, `images/NAME.…`."""

    confidence: Literal["none", "file", "pixels"] = "file"
    documents: tuple[Document, ...] = ()

    def __init__(self, name: str, classes: Classes, options: ExportOptions) -> None:
        self._name = name
        self._classes = classes
        self._palette = [c.color for c in classes]

    def planned_losses(self) -> Iterator[Loss]:
        yield from ()

    def opening(self) -> Iterator[Member]:
        yield Member("classes.json", classes_document(self._name, self._classes))

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        data = image.stored_png or encode_label_png(image.label, self._palette)
        yield Member(f"labels/{image.stem}.png", data)
        confidence = image.stored_confidence_png
        if confidence is None and image.confidence is not None:
            confidence = encode_confidence_png(image.confidence)
        if confidence is not None:
            yield Member(f"confidence/{image.stem}.png", confidence)
        if image.picture is not None:
            yield Member(f"images/{image.image_name}", image.picture.data)


def classes_document(name: str, classes: Classes) -> bytes:
    """Return a `classes.json` that `formats.classes_json` reads again."""
    return json_file({"name": name, "ignore_index": 255, "classes": [asdict(c) for c in classes]})
