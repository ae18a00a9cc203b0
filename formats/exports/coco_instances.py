"""COCO instances with RLE masks: one annotation for each class of an image, or each part."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from formats.coco_rle import bounding_box, encode_classes, encode_mask
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
from formats.runs import column_runs, pixels_by_value, sums_by_value

# Ids of annotations are made of the number of the image and one within it: no counter is shared.
ANNOTATIONS_PER_IMAGE = 100_000


@dataclass(frozen=True)
class _Found:
    """A mask that becomes an annotation."""

    class_id: int
    mask: npt.NDArray[np.bool_]
    area_px: int
    code: dict[str, Any]
    confidence_sum: int | None


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
        for place, found in enumerate(self._found(image)):
            annotation: dict[str, Any] = {
                "id": (image.number - 1) * ANNOTATIONS_PER_IMAGE + place + 1,
                "image_id": image.number,
                "category_id": found.class_id + 1,
                "iscrowd": int(self._options.iscrowd),
                "area": found.area_px,
                "bbox": bounding_box(found.mask),
                "segmentation": found.code,
                "attributes": facts,
            }
            if found.confidence_sum is not None:
                annotation["score"] = round(found.confidence_sum / found.area_px / 255, 6)
            yield Entry("annotations", json_line(annotation))
        if image.picture is not None:
            path = f"images/{self._options.split}/{image.image_name}"
            yield Member(path, image.picture.data)

    def _found(self, image: LabelledImage) -> Iterator[_Found]:
        if self._components is None:
            yield from _classes_of(image, self._classes)
            return
        for one, mask in regions_of(image.label, self._classes, self._components):
            total = None
            if image.confidence is not None:
                total = int(image.confidence.sum(where=mask, dtype=np.int64))
            yield _Found(one.id, mask, int(np.count_nonzero(mask)), encode_mask(mask), total)


def _classes_of(image: LabelledImage, classes: Classes) -> Iterator[_Found]:
    """Yield one mask for each class; what all of them need is found in one pass."""
    runs = column_runs(image.label)
    areas, sums = pixels_by_value(runs), None
    if image.confidence is not None:
        sums = sums_by_value(runs, image.confidence.ravel(order="F"))
    ids = [one.id for one in classes if areas[one.id]]
    for class_id, code in zip(ids, encode_classes(image.size_hw, runs, ids), strict=True):
        total = None if sums is None else int(sums[class_id])
        yield _Found(class_id, image.label == class_id, int(areas[class_id]), code, total)


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
