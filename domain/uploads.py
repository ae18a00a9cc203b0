"""Resumable uploads: announce a file, send its parts in any order, abort, expire.

Where the store presigns parts, clients send them there, and the store is asked which have arrived.
Elsewhere the API takes them: each PUT is an object of its own, and the row of the part says which
object counts, so that a PUT that is cut, late or repeated never changes bytes that are in use.
Completing is in `domain.upload_completion`.
"""

import math
from dataclasses import dataclass
from typing import BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.jobs import DONE_STATUSES
from api_schemas.problems import (
    FieldProblem,
    NotFound,
    QuotaExceeded,
    StateConflict,
    ValidationProblem,
)
from api_schemas.uploads import MAX_PARTS, UploadCreate
from domain import quotas
from domain.settings import Settings
from storage.catalog import uploads
from storage.catalog.engine import Catalog
from storage.catalog.tables import JobRow, UploadPartRow, UploadRow
from storage.objects import Objects, upload_key, upload_part_key
from storage.s3_multipart import UploadMissing

MIB: Final = 2**20
DEFAULT_PART_BYTES: Final = 64 * MIB
MAX_PART_BYTES: Final = 5 * 2**30  # S3's bound
USED_SECONDS: Final = 24 * 3600.0
EXPIRED_AT_ONCE: Final = 100


@dataclass(frozen=True)
class ArrivedPart:
    """A part that is stored, wherever that is."""

    number: int
    size_bytes: int
    etag: str


def part_count(row: UploadRow) -> int:
    return math.ceil(row.size_bytes / row.part_bytes)


def part_size(row: UploadRow, number: int) -> int:
    """Return how many bytes part `number` has.

    Raises:
        NotFound: there is no such part.
    """
    count = part_count(row)
    if not 1 <= number <= count:
        raise NotFound(f"Upload '{row.id}' has the parts 1 to {count}; there is no part {number}.")
    if number < count:
        return row.part_bytes
    return row.size_bytes - (count - 1) * row.part_bytes


def get(session: Session, upload_id: str, *, lock: bool = False) -> UploadRow:
    """Return an upload.

    Raises:
        NotFound: with what to do.
    """
    row = uploads.get_upload(session, upload_id, lock=lock)
    if row is None:
        raise NotFound(
            f"There is no upload '{upload_id[:80]}', or it has expired. POST one to /v1/uploads."
        )
    return row


def require_open(row: UploadRow) -> None:
    """Refuse parts that come too late.

    Raises:
        StateConflict: the upload is closed.
    """
    if row.status != "open":
        raise StateConflict(
            f"Upload '{row.id}' is {row.status} and takes no more parts. POST a new one."
        )


def choose_part_bytes(size_bytes: int, wanted: int | None, settings: Settings) -> int:
    """Return the size of the parts of a file.

    Raises:
        ValidationProblem: the file is too large, or the wanted size cannot be had.
    """
    if size_bytes > settings.upload_max_bytes:
        raise ValidationProblem(
            f"size_bytes is {size_bytes}; at most {settings.upload_max_bytes} are taken "
            "(SELVAGE_UPLOAD_MAX_BYTES). Split the file.",
            errors=[FieldProblem(pointer="/size_bytes", detail="too large")],
        )
    largest = min(MAX_PART_BYTES, settings.max_upload_bytes)
    if wanted is None:
        least = math.ceil(size_bytes / MAX_PARTS / MIB) * MIB
        return min(size_bytes, largest, max(DEFAULT_PART_BYTES, least))
    smallest = max(settings.upload_min_part_bytes, math.ceil(size_bytes / MAX_PARTS))
    if wanted >= size_bytes and size_bytes <= largest:
        return size_bytes
    if not smallest <= wanted <= largest:
        raise ValidationProblem(
            f"part_bytes is {wanted}; a file of {size_bytes} bytes goes in parts of {smallest} "
            f"to {largest} bytes. Leave it out to let the service choose.",
            errors=[FieldProblem(pointer="/part_bytes", detail=f"{smallest} … {largest}")],
        )
    return wanted


def begin_at_store(
    catalog: Catalog, objects: Objects, settings: Settings, request: UploadCreate
) -> UploadRow:
    """Return a new upload, known to the store but not yet to the catalog: `add` it, or drop it.

    Raises:
        ValidationProblem: sizes that cannot be.
        QuotaExceeded: too many uploads are open.
        StorageUnavailable: the store failed, or has no room.
    """
    part_bytes = choose_part_bytes(request.size_bytes, request.part_bytes, settings)
    with catalog.read() as session:
        _check_room(session, settings)
    objects.require_room(request.size_bytes)
    upload_id = new_id("upl")
    key = upload_key(upload_id)
    return UploadRow(
        id=upload_id,
        file_name=request.file_name,
        size_bytes=request.size_bytes,
        part_bytes=part_bytes,
        sha256=request.sha256,
        status="open",
        object_key=key,
        multipart_id=objects.multipart.create(key) if objects.multipart else None,
    )


def drop_at_store(objects: Objects, row: UploadRow) -> None:
    """Undo `begin_at_store`."""
    if row.multipart_id is not None and objects.multipart is not None:
        objects.multipart.abort(row.object_key, row.multipart_id)


def add(session: Session, row: UploadRow, settings: Settings, created_by: str) -> UploadRow:
    """Insert an upload that the store knows.

    Raises:
        QuotaExceeded: too many uploads are open, or the key may not store so much today.
    """
    _check_room(session, settings)
    row.created_by = created_by
    added = uploads.add_upload(session, row, lifetime_seconds=3600 * settings.upload_hours)
    quotas.reserve_bytes(session, settings, created_by, row.size_bytes)
    return added


def add_complete(
    session: Session, row: UploadRow, settings: Settings, created_by: str
) -> UploadRow:
    """Insert an upload whose object came in one request; it does not count as open.

    Raises:
        QuotaExceeded: the key may not store so much today.
    """
    row.created_by = created_by
    added = uploads.add_upload(session, row, lifetime_seconds=3600 * settings.upload_hours)
    quotas.reserve_bytes(session, settings, created_by, row.size_bytes)
    return added


def _check_room(session: Session, settings: Settings) -> None:
    if uploads.count_open(session) >= settings.upload_max_open:
        raise QuotaExceeded(
            f"{settings.upload_max_open} uploads are open already (SELVAGE_UPLOAD_MAX_OPEN). "
            "Complete them, or DELETE those that are not wanted: GET /v1/uploads?status=open.",
            headers={"Retry-After": "60"},
        )


def arrived_parts(session: Session, objects: Objects, row: UploadRow) -> list[ArrivedPart]:
    """Return the parts that are stored, by number, with sizes as they are.

    Raises:
        StorageUnavailable: the store failed.
    """
    if row.multipart_id is None:
        return [_arrived(part) for part in uploads.list_parts(session, row.id, limit=MAX_PARTS)]
    if objects.multipart is None:
        return []
    try:
        found = objects.multipart.parts(row.object_key, row.multipart_id)
    except UploadMissing:
        return []
    return [ArrivedPart(p.number, p.size_bytes, p.etag.strip('"')) for p in found]


def _arrived(part: UploadPartRow) -> ArrivedPart:
    return ArrivedPart(part.number, part.size_bytes, part.sha256 or "")


def part_object_key(upload_id: str, number: int, token: str) -> str:
    """Key of what one PUT of a part stored."""
    return f"{upload_part_key(upload_id, number)}-{token}"


def expected_part(catalog: Catalog, upload_id: str, number: int) -> int:
    """Return the size of a part that the API is about to take.

    Raises:
        NotFound: unknown upload or part.
        StateConflict: the upload is closed, or its parts go to the store.
    """
    with catalog.read() as session:
        row = get(session, upload_id)
    size_bytes = part_size(row, number)
    require_open(row)
    if row.multipart_id is not None:
        raise StateConflict(
            f"The parts of upload '{upload_id}' go to the URLs that GET /v1/uploads/{upload_id} "
            "lists, straight to the object store."
        )
    return size_bytes


def store_part(
    catalog: Catalog,
    objects: Objects,
    upload_id: str,
    number: int,
    file: BinaryIO,
    *,
    sha256: str,
    size_bytes: int,
) -> None:
    """Store a part whose size was checked; it replaces an earlier one of its number.

    Raises:
        NotFound, StateConflict: the upload was closed meanwhile; nothing is kept.
        StorageUnavailable: the store failed; nothing changed.
    """
    token = new_id("req").removeprefix("req_")
    key = part_object_key(upload_id, number, token)
    objects.put_file(key, file)
    try:
        with catalog.write() as session:
            require_open(get(session, upload_id, lock=True))
            old = uploads.get_part(session, upload_id, number)
            replaced = old.etag if old else None
            values = {"size_bytes": size_bytes, "sha256": sha256, "etag": token}
            uploads.set_part(session, upload_id, number, values)
    except (NotFound, StateConflict):
        objects.delete([key])
        raise
    if replaced is not None:
        objects.delete([part_object_key(upload_id, number, replaced)])


def use(session: Session, upload_id: str) -> UploadRow:
    """Return a complete upload for a job that reads it, and keep it for a day more.

    Raises:
        NotFound: unknown or expired.
        StateConflict: not complete.
    """
    row = get(session, upload_id, lock=True)
    if row.status != "complete":
        raise StateConflict(
            f"Upload '{upload_id}' is {row.status}. Complete it first: "
            f"POST /v1/uploads/{upload_id}:complete."
        )
    uploads.keep_until(session, upload_id, USED_SECONDS)
    return row


def _is_in_use(session: Session, upload_id: str) -> bool:
    """Whether a job that is not done reads this upload."""
    source = JobRow.params["source"]["upload"].as_string()
    query = select(JobRow.id).where(
        JobRow.type.in_(("ingest", "validate", "import")),
        JobRow.status.not_in(DONE_STATUSES),
        source == upload_id,
    )
    return session.scalar(query.limit(1)) is not None


def abort(catalog: Catalog, objects: Objects, upload_id: str, settings: Settings) -> None:
    """Close an upload and delete what came of it. Asking twice does no harm.

    Raises:
        NotFound: unknown.
        StateConflict: a job reads it.
        StorageUnavailable: the store failed; ask again.
    """
    with catalog.write() as session:
        row = get(session, upload_id, lock=True)
        if _is_in_use(session, upload_id):
            raise StateConflict(
                f"A job that is not done reads upload '{upload_id}'. Wait for it, or cancel it."
            )
        row.status = "aborted"
        uploads.drop_parts(session, upload_id)
        uploads.keep_until(session, upload_id, 3600 * settings.upload_hours)
    forget_bytes(objects, row)


def forget_bytes(objects: Objects, row: UploadRow) -> None:
    """Delete all objects of an upload, whatever is left of them.

    Raises:
        StorageUnavailable: the store failed; what is left goes when the upload expires.
    """
    drop_at_store(objects, row)
    objects.delete([facts.key for facts in objects.list(f"uploads/{row.id}")])


def expire(catalog: Catalog, objects: Objects, *, keep_hours: float) -> int:
    """End uploads whose time is over, and forget those that ended long ago; returns how many.

    Some at a time, so that a sweep stays short. An upload that a job reads lives on.

    Raises:
        StorageUnavailable: the store failed; the next call goes on.
    """
    with catalog.read() as session:
        found = uploads.expired(session, EXPIRED_AT_ONCE)
    for row in found:
        _expire_one(catalog, objects, row.id, 3600 * keep_hours)
    return len(found)


def _expire_one(catalog: Catalog, objects: Objects, upload_id: str, keep_seconds: float) -> None:
    with catalog.write() as session:
        row = uploads.get_upload(session, upload_id, lock=True)
        if row is None:
            return
        is_over = True
        if row.status != "aborted":
            if _is_in_use(session, upload_id):
                uploads.keep_until(session, upload_id, USED_SECONDS)
                return
            is_over = False
            row.problem = StateConflict(
                "The upload has expired and was deleted. POST a new one to /v1/uploads."
            ).to_json()
            row.status = "aborted"
            uploads.drop_parts(session, upload_id)
            uploads.keep_until(session, upload_id, keep_seconds)
    # aborted before the bytes go: whoever dies in between finds the row again by its status
    forget_bytes(objects, row)
    if is_over:
        with catalog.write() as session:
            uploads.delete_upload(session, upload_id)
