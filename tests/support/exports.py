"""Exports of labels from memory, written to a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from formats.classes_json import OntologyFileClass
from formats.components import components_by_size
from formats.exports.base import (
    Entry,
    Exporter,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Picture,
)
from formats.exports.pngs import png_of
from formats.exports.registry import exporter_of
from workers.export_files import Spool

CLASSES: Final = (
    OntologyFileClass(0, "road", "stuff", (128, 64, 128)),
    OntologyFileClass(1, "sky", "stuff", (70, 130, 180)),
    OntologyFileClass(2, "car", "thing", (0, 0, 142)),
    OntologyFileClass(3, "traffic light", "thing", (250, 170, 30)),
)


def street(seed: int = 0, height_px: int = 24, width_px: int = 40) -> np.ndarray:
    """A label of the four classes with ignored pixels, and things of several parts."""
    rng = np.random.default_rng(seed)
    label = np.zeros((height_px, width_px), np.uint8)
    label[: height_px // 2] = 1
    for class_id in (2, 2, 2, 3, 3):
        top, left = rng.integers(0, height_px - 4), rng.integers(0, width_px - 5)
        label[top : top + 4, left : left + 5] = class_id
    label[:, :2] = 255
    return label


def exporter(form: str, classes: Any = CLASSES, **options: Any) -> Exporter:
    return exporter_of(form, "street", classes, ExportOptions(**options), components_by_size)


def write_export(
    folder: Path,
    form: str,
    labels: Mapping[str, np.ndarray],
    classes: Any = CLASSES,
    **options: Any,
) -> list[Loss]:
    """Write labels by external id; returns what was lost of them. Confidences are 200 of 255."""
    made = exporter(form, classes, **options)
    losses = []
    with Spool(made.documents) as spool:
        pieces = list(made.opening())
        for number, (external_id, label) in enumerate(labels.items(), start=1):
            picture = None
            if options.get("include_images"):
                picture = Picture("png", png_of(np.repeat(label[..., None], 3, 2)))
            image = LabelledImage(
                number=number,
                stem=next(made.stems(external_id, number)),
                external_id=external_id,
                label=label,
                confidence=np.where(label == 255, 0, 200).astype(np.uint8),
                picture=picture,
                facts={"quality": 0.75, "coverage": 0.5, "label_id": f"lab_{number}"},
            )
            for piece in made.pieces(image):
                if isinstance(piece, Member):
                    pieces.append(piece)
                elif isinstance(piece, Entry):
                    spool.add(piece)
                else:
                    losses.append(piece)
        for member in pieces:
            _write(folder / member.path, member.data)
        for document in spool.documents():
            _write(folder / document.path, b"".join(document.pieces()))
    return losses


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert not path.exists(), path
    path.write_bytes(data)
