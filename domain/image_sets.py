"""Use-cases of image sets: open one, add files batch by batch, close it or give it up.

What tells duplicates and equal names apart stands in the catalog, so that a set of a million files
takes no more memory than one of a hundred.
"""

from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Protocol

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import Gone, NotFound, StateConflict
from domain import stages, webhook_outbox
from domain.entry_names import name_key, unique_names
from storage.catalog import image_sets
from storage.catalog.engine import Catalog
from storage.catalog.tables import LOCAL, ImageSetRow
from storage.objects import Objects, image_key

CUT_OFF: Final = StateConflict("The upload was cut off. Upload the files again.")
BATCH_FILES: Final = 250  # each has at most two rows, three in a job


class FoundFile(Protocol):
    """A file as the reader of images and archives hands it over; see `formats.found_files`."""

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> BinaryIO | None: ...
    @property
    def image(self) -> dict[str, Any] | None: ...
    @property
    def note(self) -> str | None: ...
    @property
    def problem(self) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class ReceivedFile:
    """A file that was looked at and, if it is an image, stored; `image` is None if rejected.

    `external_id` is the name that its owner gave it, where that is not the file's own.
    """

    file_name: str
    image: dict[str, Any] | None
    note: str | None = None
    problem: dict[str, Any] | None = None
    external_id: str | None = None


@dataclass(frozen=True)
class WrittenBatch:
    """Files that are entries now: the rows, in order, and the bytes of those that are new."""

    rows: list[dict[str, Any]]
    stored_bytes: int


@dataclass
class Intake:
    """The files of one set on their way to the catalog; `position` is that of the next entry."""

    image_set_id: str
    position: int = 0
    waiting: list[ReceivedFile] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= BATCH_FILES

    def write(self, session: Session) -> WrittenBatch:
        """Write what waits, in the caller's transaction; call `written` when it is committed."""
        rows = _entries(session, self.image_set_id, self.position, self.waiting)
        images = {str(f.image["digest"]): f.image for f in self.waiting if f.image is not None}
        image_sets.add_images(session, images.values())
        image_sets.add_entries(session, rows)
        counts = dict.fromkeys(("accepted", "duplicate", "rejected"), 0)
        for row in rows:
            counts[row["status"]] += 1
        image_sets.grow(session, self.image_set_id, **counts)
        new = {row["image_digest"] for row in rows if row["status"] == "accepted"}
        stored_bytes = sum(i["size_bytes"] for digest, i in images.items() if digest in new)
        return WrittenBatch(rows, stored_bytes)

    def written(self) -> None:
        """Forget what was committed."""
        self.position += len(self.waiting)
        self.waiting = []


def store(objects: Objects, found: FoundFile) -> ReceivedFile:
    """Put an image where images are kept, if it is one.

    Raises:
        StorageUnavailable: the object store failed.
    """
    if found.image is None or found.file is None:
        stages.refused("intake")
        return ReceivedFile(found.name, None, found.note, found.problem)
    key = image_key(found.image["digest"])
    with stages.measured("intake", in_trace=False):
        objects.put_new(key, found.file)
    return ReceivedFile(found.name, {**found.image, "object_key": key}, found.note)


def open_set(
    session: Session,
    name: str | None,
    created_by: str = LOCAL,
    source: dict[str, Any] | None = None,
) -> Intake:
    """Insert an empty set that receives files; `source` says where from, without secrets."""
    intake = Intake(new_id("set"))
    image_sets.add_image_set(session, intake.image_set_id, name, created_by, source)
    return intake


def flush(catalog: Catalog, intake: Intake) -> None:
    """Write what waits in a transaction of its own."""
    if intake.waiting:
        with catalog.write() as session:
            intake.write(session)
        intake.written()


def close(session: Session, image_set_id: str) -> ImageSetRow:
    """Declare a set complete; from now on it does not change."""
    image_sets.make_ready(session, image_set_id)
    webhook_outbox.image_set_ready(session, image_set_id)
    return get_image_set(session, image_set_id)


def discard(catalog: Catalog, image_set_id: str) -> None:
    """Remove a set whose upload came to nothing; its images may belong to others and stay.

    A set that is complete is left alone, whatever went wrong after that.
    """
    with catalog.write() as session:
        if not image_sets.make_failed(session, image_set_id, CUT_OFF.to_json()):
            return
    while True:
        with catalog.write() as session:
            if image_sets.delete_some_entries(session, image_set_id):
                continue
            image_sets.delete_image_set(session, image_set_id)
            return


def _entries(
    session: Session, image_set_id: str, first_position: int, files: list[ReceivedFile]
) -> list[dict[str, Any]]:
    """Return the rows of the entries: each with a name of its own, duplicates found."""
    wanted = [file.external_id or file.file_name for file in files]
    names = unique_names(
        wanted, first_position, lambda keys: image_sets.taken_names(session, image_set_id, keys)
    )
    digests = {str(file.image["digest"]) for file in files if file.image is not None}
    first_of = image_sets.first_names(session, image_set_id, digests)
    rows = []
    for i, (file, name) in enumerate(zip(files, names, strict=True)):
        digest = None if file.image is None else str(file.image["digest"])
        first = None if digest is None else first_of.get(digest)
        if digest is not None:
            first_of.setdefault(digest, name)
        rows.append(
            {
                "image_set_id": image_set_id,
                "position": first_position + i,
                "external_id": name,
                "name_key": name_key(name),
                "file_name": file.file_name,
                "status": _status(digest, first),
                "image_digest": digest,
                "duplicate_of": first,
                "note": _note(file, wanted[i], name),
                "problem": file.problem,
            }
        )
    return rows


def _status(digest: str | None, first: str | None) -> str:
    if digest is None:
        return "rejected"
    return "accepted" if first is None else "duplicate"


def _note(file: ReceivedFile, wanted: str, name: str) -> str | None:
    notes = [file.note] if file.note else []
    if name != wanted:
        notes.append(
            "Another file has this name, or one that differs in upper and lower case only; "
            f"this one is listed as '{name}'."
        )
    return " ".join(notes) or None


def get_image_set(session: Session, image_set_id: str) -> ImageSetRow:
    """Return an image set.

    Raises:
        NotFound: with what to do.
        Gone: it was deleted.
    """
    row = image_sets.get_image_set(session, image_set_id)
    if row is None:
        raise NotFound(f"There is no image set '{image_set_id}'. List them: GET /v1/image-sets.")
    if row.deleted_at is not None:
        raise Gone(f"Image set '{image_set_id}' was deleted. List them: GET /v1/image-sets.")
    return row
