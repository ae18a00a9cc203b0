"""The output of a `transformers` image-segmentation pipeline, one JSON line an image."""

import base64
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
    confidence_left_out,
    json_line,
    lines_document,
    present,
)
from formats.exports.names import stems_like
from formats.exports.pngs import mask_png


class HfSegmentation:
    """`segmentation.jsonl`: `{"file_name": …, "segments": [{"score", "label", "mask"}]}`.

    A mask is a grey PNG of 0 and 255 in base64. As in `transformers`, a class of a semantic label
    has no score.
    """

    confidence: Literal["none", "file", "pixels"] = "none"
    documents: tuple[Document, ...] = (lines_document("segmentation.jsonl", "lines"),)

    def __init__(self, classes: Classes, options: ExportOptions) -> None:
        self._classes = classes

    def planned_losses(self) -> Iterator[Loss]:
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        yield from ()

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        segments = [
            {"score": None, "label": one.name, "mask": _base64(mask_png(image.label == one.id))}
            for one, _ in present(image.label, self._classes)
        ]
        yield Entry("lines", json_line({"file_name": image.image_name, "segments": segments}))
        if image.picture is not None:
            yield Member(f"images/{image.image_name}", image.picture.data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
