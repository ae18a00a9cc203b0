"""Label Studio tasks with brush predictions, one region a class, for import into a project."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

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
    names_changed,
    present,
    regions_of,
)
from formats.exports.names import stems_like
from formats.label_setup import (
    LABEL_STUDIO_BRUSH,
    LABEL_STUDIO_IMAGE,
    label_studio_config,
    label_studio_names,
)
from formats.label_studio_brush import encode_brush, encode_class
from formats.runs import Runs, pixels_by_value, row_runs, sums_by_value

MAX_REGIONS = 200  # of an image: more freeze the editor
_ID_CHARS = 10


class LabelStudio:
    """`tasks.json`, and `config.xml`: the labelling configuration that the tasks fit.

    Pixels without a region are ignored ones.
    """

    confidence: Literal["none", "file", "pixels"] = "pixels"
    documents: tuple[Document, ...] = (
        Document("tasks.json", (b"[\n", Section("tasks"), b"\n]\n")),
    )

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._options = options
        self._components = components if options.components else None
        self._names = label_studio_names([c.name for c in classes])

    def planned_losses(self) -> Iterator[Loss]:
        names = [c.name for c in self._classes]
        pairs = zip(names, self._names, strict=True)
        yield from names_changed("XML has no way to write some characters", pairs)
        if self._options.components:
            yield Loss(
                "regions-merged",
                f"An image with more than {MAX_REGIONS} connected parts has one region a class.",
                is_loss=False,
                may_happen=True,
            )
        if "://" not in self._options.image_url and not self._options.image_url.startswith("/"):
            yield Loss(
                "image-addresses",
                "Label Studio fetches images by the address in `data.image`, which is their name "
                "here. Give options.image_url, such as 's3://bucket/{external_id}'.",
                is_loss=False,
            )
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        config = label_studio_config(
            [c.name for c in self._classes], [c.color for c in self._classes]
        )
        yield Member("config.xml", config.encode())

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        yield Entry("tasks", json_line(self._task(image)))
        if image.picture is not None:
            yield Member(f"images/{image.image_name}", image.picture.data)

    def _task(self, image: LabelledImage) -> dict[str, object]:
        address = self._options.image_url.replace("{external_id}", image.external_id)
        quality = image.facts.get("quality")
        prediction = {
            "model_version": self._options.model_version,
            "score": quality,
            "result": label_studio_result(image, self._classes, self._names, self._components),
        }
        return {
            "data": {LABEL_STUDIO_IMAGE: address.replace("{stem}", image.stem)},
            "meta": {"external_id": image.external_id, **image.facts},
            "predictions": [prediction],
        }


def label_studio_result(
    image: LabelledImage, classes: Classes, names: list[str], components: Components | None = None
) -> list[dict[str, object]]:
    """Return the regions of a label as Label Studio's `result`.

    Args:
        names: by class id, as the labelling configuration has them.
        components: finds connected parts; without it, or with too many of them, there is one
            region a class.
    """
    if components is not None:
        parts = list(islice(regions_of(image.label, classes, components), MAX_REGIONS + 1))
        if len(parts) <= MAX_REGIONS:
            return [
                _region(image, number, names[one.id], encode_brush(mask), _mean(image, mask))
                for number, (one, mask) in enumerate(parts)
            ]
    runs = row_runs(image.label)
    means = _means(image, runs)
    return [
        _region(image, number, names[one.id], encode_class(runs, one.id), means.get(one.id))
        for number, (one, _) in enumerate(present(image.label, classes))
    ]


def _region(
    image: LabelledImage, number: int, name: str, rle: list[int], score: float | None
) -> dict[str, object]:
    height, width = image.size_hw
    text = f"{image.external_id}\n{image.facts.get('label_id')}\n{number}"
    return {
        "id": hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARS],
        "type": "brushlabels",
        "from_name": LABEL_STUDIO_BRUSH,
        "to_name": LABEL_STUDIO_IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "origin": "prediction",
        "readonly": False,
        "score": None if score is None else round(score, 6),
        "value": {"format": "rle", "rle": rle, "brushlabels": [name]},
    }


def _mean(image: LabelledImage, mask: npt.NDArray[np.bool_]) -> float | None:
    return None if image.confidence is None else float(image.confidence[mask].mean()) / 255


def _means(image: LabelledImage, runs: Runs) -> dict[int, float]:
    """Return class id → mean confidence of its pixels, 0 … 1; nothing without confidences."""
    if image.confidence is None:
        return {}
    pixels = pixels_by_value(runs)
    sums = sums_by_value(runs, image.confidence.ravel())
    return {c: float(sums[c] / pixels[c]) / 255 for c in np.flatnonzero(pixels).tolist()}
