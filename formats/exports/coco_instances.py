"""COCO instances with RLE masks: one annotation for each class of an image, or each part."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from formats.coco_rle import bounding_box, column_runs, encode_class, encode_mask
from formats.exports.base import (
    Classes,
    Components,
    Document,
    Entry,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Piece,
    Section,
    confidence_left_out,
    json_line,
    regions_of,
)
from formats.exports.names import stems_like
from formats.index_png import IGNORE_INDEX

# Ids of annotations are made of the number of the image and one within it: no counter is shared.
ANNOTATIONS_PER_IMAGE = 100_000


class CocoInstances:
    """`annotations/instances_SPLIT.json`, and images in `images/SPLIT/`.

    Pixels without an annotation are ignored ones. `score` is the mean confidence of a mask.
    """

    confidence: Literal["none", "file", "pixels"] = "pixels"

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._options = options
        self._components = components if options.components else None
        self.documents: tuple[Document, ...] = (_document(classes, options.split),)

    def planned_losses(self) -> Iterator[Loss]:
        if not self._options.components:
            yield Loss(
                "classes-are-instances",
                "Each class of an image is one annotation, whose mask may have several parts; "
                "options.components makes one of each part.",
                is_loss=False,
            )
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        yield from ()

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        height, width = image.size_hw
        facts = {k: v for k, v in image.facts.items() if k in ("label_id", "quality")}
        yield Entry(
            "images",
            json_line(
                {
                    "id": image.number,
                    "file_name": image.image_name,
                    "width": width,
                    "height": height,
                }
            ),
        )
        runs = column_runs(image.label)
        regions = regions_of(image.label, self._classes, self._components)
        sums = self._confidence_by_class(image)
        for place, (one, mask) in enumerate(regions):
            code = encode_class(image.size_hw, runs, one.id)
            annotation: dict[str, Any] = {
                "id": (image.number - 1) * ANNOTATIONS_PER_IMAGE + place + 1,
                "image_id": image.number,
                "category_id": one.id + 1,
                "iscrowd": int(self._options.iscrowd),
                "area": int(np.count_nonzero(mask)),
                "bbox": bounding_box(mask),
                "segmentation": code if self._components is None else encode_mask(mask),
                "attributes": facts,
            }
            if image.confidence is not None:
                total = sums[one.id] if sums else image.confidence.sum(where=mask, dtype=np.int64)
                annotation["score"] = round(int(total) / int(annotation["area"]) / 255, 6)
            yield Entry("annotations", json_line(annotation))
        if image.picture is not None:
            path = f"images/{self._options.split}/{image.image_name}"
            yield Member(path, image.picture.data)

    def _confidence_by_class(self, image: LabelledImage) -> list[float] | None:
        """Sums over the pixels of each class in one pass; None where masks are parts of a class."""
        if image.confidence is None or self._components is not None:
            return None
        weights = image.confidence.ravel()
        sums = np.bincount(image.label.ravel(), weights=weights, minlength=IGNORE_INDEX + 1)
        return [float(total) for total in sums]


def coco_categories(classes: Classes) -> list[dict[str, object]]:
    """Return COCO's categories; their ids begin with 1."""
    return [{"id": c.id + 1, "name": c.name, "supercategory": c.kind} for c in classes]


def _document(classes: Classes, split: str) -> Document:
    categories = json.dumps(coco_categories(classes), ensure_ascii=False).encode()
    return Document(
        f"annotations/instances_{split}.json",
        (
            b'{"info":{"description":"Labels by Selvage"},"licenses":[],\n"categories":',
            categories,
            b',\n"images":[\n',
            Section("images"),
            b'\n],\n"annotations":[\n',
            Section("annotations"),
            b"\n]}\n",
        ),
    )
