"""Cityscapes' folders and files: labelIds, labelTrainIds, instanceIds and color."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from formats.classes_json import OntologyFileClass
from formats.exports.base import (
    Classes,
    Components,
    Document,
    ExportOptions,
    Grey,
    LabelledImage,
    Loss,
    Member,
    Piece,
    confidence_left_out,
    lines_document,
    manifest_entry,
    present,
)
from formats.exports.cityscapes_labels import (
    LABELS,
    NOT_TRAINED,
    UNLABELED,
    CityscapesLabel,
    labels_of,
    table_of,
)
from formats.exports.names import plain_stem
from formats.exports.pngs import as_png, png_of

INSTANCES_PER_LABEL: Final = 1000  # an instance is id * 1000 + n
_OWN_NAME: Final = re.compile(r"([A-Za-z-]+)_(\d{6})_(\d{6})(_leftImg8bit)?")
_FRAMES: Final = 1_000_000


class Cityscapes:
    """`gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_….png`, and images in `leftImg8bit/…`.

    Ids are the official ones, by the names of the classes. A connected part of a thing is an
    instance, which is not what a person would have drawn.
    """

    confidence: Literal["none", "file", "pixels"] = "none"
    documents: tuple[Document, ...] = (lines_document("manifest.jsonl", "manifest"),)

    def __init__(self, classes: Classes, options: ExportOptions, components: Components) -> None:
        self._classes = classes
        self._options = options
        self._components = components
        self._labels = labels_of([c.name for c in classes], options.class_map)
        found = [label or UNLABELED for label in self._labels]
        self._ids = table_of([label.id for label in found], UNLABELED.id)
        self._train_ids = table_of([label.train_id for label in found], NOT_TRAINED)

    def planned_losses(self) -> Iterator[Loss]:
        yield from self._unmapped()
        yield from self._merged()
        not_trained = [c.name for c, label in self._pairs() if label and label.train_id == 255]
        if not_trained:
            yield Loss(
                "classes-not-trained",
                f"{_quoted(not_trained)} are in labelIds, and 255 in labelTrainIds, as Cityscapes "
                "has it.",
                is_loss=False,
            )
        if any(label and label.has_instances for label in self._labels):
            yield Loss(
                "components-are-instances",
                "instanceIds tell connected parts of a thing apart, not true instances.",
                is_loss=False,
            )
        yield confidence_left_out()

    def opening(self) -> Iterator[Member]:
        yield from ()

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        """Names that are Cityscapes' own stay; others are numbered."""
        own = _OWN_NAME.fullmatch(plain_stem(external_id).rpartition("/")[2])
        if own:
            yield f"{own[1]}/{own[1]}_{own[2]}_{own[3]}"
        city, sequence = self._options.city, 0
        while True:
            part, frame = divmod(number, _FRAMES)
            yield f"{city}/{city}_{sequence + part:06d}_{frame:06d}"
            sequence += 1

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        base = f"gtFine/{self._options.split}/{image.stem}_gtFine"
        ids = self._ids.take(image.label)
        yield Member(f"{base}_labelIds.png", png_of(ids))
        yield Member(f"{base}_labelTrainIds.png", png_of(self._train_ids.take(image.label)))
        instances, merged = self._instances(image.label, ids)
        if merged:
            yield Loss(
                "instances-merged",
                f"More than {INSTANCES_PER_LABEL} parts of one class in an image: the smallest of "
                "them are the class without an instance.",
            )
        yield Member(f"{base}_instanceIds.png", png_of(instances))
        yield Member(f"{base}_color.png", png_of(_COLOURS.take(ids, axis=0)))
        if image.picture is not None:
            path = f"leftImg8bit/{self._options.split}/{image.stem}_leftImg8bit.png"
            yield Member(path, as_png(image.picture.suffix, image.picture.data))
        yield from manifest_entry(image, f"{base}_labelIds.png")

    def _pairs(self) -> Iterator[tuple[OntologyFileClass, CityscapesLabel | None]]:
        yield from zip(self._classes, self._labels, strict=True)

    def _unmapped(self) -> Iterator[Loss]:
        unmapped = [c.name for c, label in self._pairs() if label is None]
        if unmapped:
            yield Loss(
                "classes-unmapped",
                f"Cityscapes has no {_quoted(unmapped)}: these pixels become 'unlabeled' (0). Name "
                "one of its labels for them in options.class_map.",
            )

    def _merged(self) -> Iterator[Loss]:
        times = Counter(label.name for label in self._labels if label is not None)
        for name in (name for name, count in times.items() if count > 1):
            ours = [c.name for c, label in self._pairs() if label and label.name == name]
            yield Loss("classes-merged", f"{_quoted(ours)} become one label, '{name}'.")

    def _instances(self, label: Grey, ids: Grey) -> tuple[npt.NDArray[np.uint16], bool]:
        found = ids.astype(np.uint16)
        merged = False
        things: dict[int, npt.NDArray[np.bool_]] = {}
        for one, _ in present(label, self._classes):
            known = self._labels[one.id]
            if known is not None and known.has_instances:
                mask = label == one.id
                things[known.id] = things[known.id] | mask if known.id in things else mask
        for label_id, mask in things.items():
            parts = self._components(mask)
            count = int(parts.max())
            merged |= count > INSTANCES_PER_LABEL
            values = np.full(count + 1, label_id, np.uint16)
            numbered = min(count, INSTANCES_PER_LABEL)
            values[1 : numbered + 1] = label_id * INSTANCES_PER_LABEL + np.arange(numbered)
            found[mask] = values[parts[mask]]
        return found, merged


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


_COLOURS: Final = np.array([label.color for label in LABELS], np.uint8)
