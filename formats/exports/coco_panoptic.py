"""COCO panoptic: an RGB PNG of segment ids for each image, and one document."""

import json
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from formats.class_palettes import distinct_colours
from formats.coco_rle import bounding_box
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
    present,
)
from formats.exports.names import stems_like
from formats.exports.pngs import png_of

# segment id = (class + 1) * 65,536 + number of the part: the class is in B, the part in R and G
_PARTS: Final = 65_536


class CocoPanoptic:
    """`annotations/panoptic_SPLIT.json` and `annotations/panoptic_SPLIT/NAME.png`.

    Stuff is one segment an image; each connected part of a thing is one. 0 is void, our ignore.
    """

    confidence: Literal["none", "file", "pixels"] = "none"

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._options = options
        self._components = components
        self.documents: tuple[Document, ...] = (_document(classes, options.split),)

    def planned_losses(self) -> Iterator[Loss]:
        if any(c.kind == "thing" for c in self._classes):
            yield Loss(
                "components-are-instances",
                "A segment of a thing is a connected part of it, not a true instance.",
                is_loss=False,
            )
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        yield from ()

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        # readers look for the PNG by its file name alone
        return (stem.replace("/", "_") for stem in stems_like(external_id))

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        height, width = image.size_hw
        segments = np.zeros(image.label.shape, np.int64)
        infos = []
        for one, _ in present(image.label, self._classes):
            mask = image.label == one.id
            parts = self._components(mask) if one.kind == "thing" else mask.astype(np.int32)
            parts = np.minimum(parts, _PARTS - 1)
            for number in range(1, int(parts.max()) + 1):
                part = parts == number
                segment_id = (one.id + 1) * _PARTS + number - 1
                segments[part] = segment_id
                infos.append(_info(segment_id, one.id + 1, part))
        base = f"annotations/panoptic_{self._options.split}"
        name = f"{image.stem}.png"
        yield Member(f"{base}/{name}", _rgb_png(segments))
        picture = {
            "id": image.number,
            "file_name": image.image_name,
            "width": width,
            "height": height,
        }
        yield Entry("images", json_line(picture))
        annotation = {"image_id": image.number, "file_name": name, "segments_info": infos}
        yield Entry("annotations", json_line(annotation))
        if image.picture is not None:
            yield Member(f"images/{self._options.split}/{image.image_name}", image.picture.data)


def _info(segment_id: int, category_id: int, mask: npt.NDArray[np.bool_]) -> dict[str, object]:
    return {
        "id": segment_id,
        "category_id": category_id,
        "area": int(mask.sum()),
        "bbox": bounding_box(mask),
        "iscrowd": 0,
    }


def _rgb_png(segments: npt.NDArray[np.int64]) -> bytes:
    """Return ids as colours: R + 256 G + 65,536 B."""
    rgb = np.stack([(segments >> shift) & 255 for shift in (0, 8, 16)], axis=-1)
    return png_of(rgb.astype(np.uint8))


def _document(classes: Classes, split: str) -> Document:
    colours = distinct_colours([c.color for c in classes])
    categories = [
        {
            "id": c.id + 1,
            "name": c.name,
            "supercategory": c.kind,
            "isthing": int(c.kind == "thing"),
            "color": list(colour),
        }
        for c, colour in zip(classes, colours, strict=True)
    ]
    return Document(
        f"annotations/panoptic_{split}.json",
        (
            b'{"info":{"description":"Labels by Selvage"},"licenses":[],\n"categories":',
            json.dumps(categories, ensure_ascii=False).encode(),
            b',\n"images":[\n',
            Section("images"),
            b'\n],\n"annotations":[\n',
            Section("annotations"),
            b"\n]}\n",
        ),
    )
