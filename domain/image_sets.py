"""Use-cases of image sets: open one, add files, close it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import NotFound
from storage.catalog import image_sets
from storage.catalog.engine import Catalog
from storage.catalog.tables import LOCAL, ImageSetEntryRow, ImageSetRow

BATCH_ROWS = 500


@dataclass
class ReceivedFile:
    """One uploaded file after it was looked at; `image` is None where it was rejected."""

    file_name: str
    image: dict[str, Any] | None
    note: str | None = None
    problem: dict[str, Any] | None = None


class Intake:
    """Turns received files into the entries of a set: unique external ids, duplicates found."""

    def __init__(self) -> None:
        self.image_set_id = new_id("set")
        self.entries: list[ImageSetEntryRow] = []
        self.images: dict[str, dict[str, Any]] = {}
        self.counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
        self._external_ids: set[str] = set()
        self._first_of: dict[str, str] = {}

    def add(self, file: ReceivedFile) -> None:
        """Append one file."""
        external_id = self._unique(file.file_name)
        notes = [file.note] if file.note else []
        if external_id != file.file_name:
            notes.append(f"Another file has this name; this one is listed as '{external_id}'.")
        status, digest, first = "rejected", None, None
        if file.image is not None:
            digest = str(file.image["digest"])
            first = self._first_of.get(digest)
            status = "accepted" if first is None else "duplicate"
            self._first_of.setdefault(digest, external_id)
            self.images[digest] = file.image
        self.counts[status] += 1
        self.entries.append(
            ImageSetEntryRow(
                image_set_id=self.image_set_id,
                position=len(self.entries),
                external_id=external_id,
                file_name=file.file_name,
                status=status,
                image_digest=digest,
                duplicate_of=first,
                note=" ".join(notes) or None,
                problem=file.problem,
            )
        )

    def _unique(self, name: str) -> str:
        external_id, n = name, 1
        stem, dot, suffix = name.rpartition(".")
        while external_id in self._external_ids:
            n += 1
            external_id = f"{stem} ({n}).{suffix}" if dot and stem else f"{name} ({n})"
        self._external_ids.add(external_id)
        return external_id

    @property
    def usable(self) -> int:
        return self.counts["accepted"] + self.counts["duplicate"]


def store_entries(
    catalog: Catalog, intake: Intake, name: str | None, created_by: str = LOCAL
) -> None:
    """Write a set with its entries, ≤ 500 rows a transaction; it is not ready yet."""
    with catalog.write() as session:
        image_sets.add_image_set(session, intake.image_set_id, name, created_by)
    for images in _batches(list(intake.images.values())):
        with catalog.write() as session:
            image_sets.add_images(session, images)
    for entries in _batches(intake.entries):
        with catalog.write() as session:
            image_sets.add_entries(session, entries)


def close(session: Session, intake: Intake) -> ImageSetRow:
    """Declare a set complete; from now on it does not change."""
    image_sets.make_ready(session, intake.image_set_id, **intake.counts)
    return get_image_set(session, intake.image_set_id)


def _batches(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), BATCH_ROWS):
        yield rows[start : start + BATCH_ROWS]


def get_image_set(session: Session, image_set_id: str) -> ImageSetRow:
    """Return an image set.

    Raises:
        NotFound: with what to do.
    """
    row = image_sets.get_image_set(session, image_set_id)
    if row is None:
        raise NotFound(f"There is no image set '{image_set_id}'. List them: GET /v1/image-sets.")
    return row
