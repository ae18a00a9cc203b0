"""What a training reads, from the catalog: labelled source images, labels of the target domain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from storage.catalog import image_sets, label_sets
from storage.catalog.annotations import list_annotations
from storage.catalog.engine import Catalog
from storage.catalog.label_sets import Entry
from storage.catalog.tables import ImageRow

BATCH_ROWS: Final = 500


@dataclass(frozen=True)
class Sample:
    """One image with its label, by object keys.

    Attributes:
        confidence_key: None where somebody vouches for the label.
        regions_key: where the label is made of regions.
        weight: of the image in the loss.
        reviewed: whether a person vouches for every pixel: an annotation, or a corrected label.
    """

    external_id: str
    image_digest: str
    label_key: str
    height_px: int
    width_px: int
    size_bytes: int
    confidence_key: str | None = None
    regions_key: str | None = None
    weight: float = 1.0
    reviewed: bool = False


def source_samples(catalog: Catalog, annotation_set_id: str) -> Iterator[Sample]:
    """Yield the labelled images of an annotation set, in order; none for one of evaluation."""
    after = -1
    while True:
        with catalog.read() as session:
            rows = list_annotations(
                session, annotation_set_id, after_position=after, limit=BATCH_ROWS
            )
            images = image_sets.get_images(session, [row.image_digest for row in rows])
        if not rows:
            return
        after = rows[-1].position
        for row in rows:
            image = images[row.image_digest]
            yield Sample(
                external_id=row.external_id,
                image_digest=row.image_digest,
                label_key=row.object_key,
                height_px=image.height_px,
                width_px=image.width_px,
                size_bytes=image.size_bytes,
                reviewed=True,
            )


def target_samples(catalog: Catalog, label_set_id: str) -> Iterator[Sample]:
    """Yield the entries of a label set, in order; those whose label was deleted are not there."""
    after = -1
    while True:
        with catalog.read() as session:
            entries = label_sets.list_entries(
                session, label_set_id, after_position=after, limit=BATCH_ROWS
            )
            images = image_sets.get_images(session, [e.row.image_digest for e in entries])
        if not entries:
            return
        after = entries[-1].row.position
        for entry in entries:
            if not entry.is_missing:
                yield _target_sample(entry, images[entry.row.image_digest])


def _target_sample(entry: Entry, image: ImageRow) -> Sample:
    artifacts = {} if entry.label is None else entry.label.artifacts
    by_people = entry.label is None or entry.label.origin == "review"
    return Sample(
        external_id=entry.row.external_id,
        image_digest=image.digest,
        label_key=entry.row.annotation_key or artifacts["label.png"],
        height_px=image.height_px,
        width_px=image.width_px,
        size_bytes=image.size_bytes,
        confidence_key=None if by_people else artifacts.get("confidence.png"),
        regions_key=artifacts.get("regions.json"),
        weight=entry.row.weight,
        reviewed=by_people,
    )
