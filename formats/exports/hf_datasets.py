"""An image folder for Hugging Face `datasets`: images, labels, and `metadata.jsonl`."""

import json
from collections.abc import Iterator
from typing import Literal

from formats.exports.base import (
    Classes,
    Document,
    Entry,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Piece,
    json_line,
    lines_document,
)
from formats.exports.mask_png import classes_document
from formats.exports.names import stems_like
from formats.exports.pngs import png_of
from formats.index_png import encode_confidence_png


class HfDatasets:
    """`SPLIT/metadata.jsonl` with the columns `image`, `label`, `confidence` and figures.

    `load_dataset("imagefolder", data_dir=…)` reads it. Labels are grey index PNGs, 255 = ignore.
    """

    confidence: Literal["none", "file", "pixels"] = "file"

    def __init__(self, name: str, classes: Classes, options: ExportOptions) -> None:
        self._name = name
        self._classes = classes
        self._split = options.split
        self.documents: tuple[Document, ...] = (
            lines_document(f"{options.split}/metadata.jsonl", "rows"),
        )

    def planned_losses(self) -> Iterator[Loss]:
        yield from ()

    def opening(self) -> Iterator[Member]:
        names = {str(c.id): c.name for c in self._classes}
        yield Member("id2label.json", json.dumps(names, ensure_ascii=False, indent=1).encode())
        yield Member("classes.json", classes_document(self._name, self._classes))

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        row: dict[str, object] = {"external_id": image.external_id}
        files = {}
        if image.picture is not None:
            files["image"] = (f"images/{image.image_name}", image.picture.data)
        files["label"] = (f"labels/{image.stem}.png", png_of(image.label))
        confidence = image.stored_confidence_png
        if confidence is None and image.confidence is not None:
            confidence = encode_confidence_png(image.confidence)
        if confidence is not None:
            files["confidence"] = (f"confidence/{image.stem}.png", confidence)
        for column, (path, data) in files.items():
            row[f"{column}_file_name"] = path
            yield Member(f"{self._split}/{path}", data)
        row |= {name: image.facts.get(name) for name in ("quality", "coverage", "label_id")}
        yield Entry("rows", json_line(row))
