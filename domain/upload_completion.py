"""Completing a resumable upload: from its parts to one object, whole and verified.

It may take minutes and may be killed at any point; asked again, it goes on. The steps are: take
the upload's lock; see that all parts are there; write down `completing`; put the parts together;
verify; write down `complete`. Only the last makes the file usable.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import (
    FieldProblem,
    ProblemError,
    StateConflict,
    StorageUnavailable,
    UploadBusy,
    UploadDigestMismatch,
    UploadIncomplete,
    ValidationProblem,
)
from api_schemas.uploads import CompletedPart
from domain.settings import Settings
from domain.uploads import (
    USED_SECONDS,
    ArrivedPart,
    arrived_parts,
    forget_bytes,
    get,
    part_count,
    part_object_key,
    part_size,
)
from storage.ahead import read_ahead
from storage.catalog import uploads
from storage.catalog.engine import Catalog
from storage.catalog.tables import UploadRow
from storage.catalog.workers import drop_lock, hold_lock
from storage.objects import ObjectMissing, Objects
from storage.s3_multipart import PartsRefused, StoredPart, UploadMissing

LOCK_SECONDS: Final = 30.0
RENEW_SECONDS: Final = 5.0
NAMED_PARTS: Final = 20


class _Lost(Exception):
    """Somebody else completed or aborted the upload meanwhile."""


class _Hold:
    """The lock of one upload, renewed while bytes flow."""

    def __init__(self, catalog: Catalog, upload_id: str) -> None:
        self._catalog = catalog
        self._name = f"upload {upload_id}"
        self._owner = new_id("req")
        self._renewed_at = time.monotonic()

    def take(self, session: Session) -> bool:
        return hold_lock(session, self._name, self._owner, LOCK_SECONDS)

    def renew(self) -> None:
        """Keep the lock; raises `_Lost` when it has gone to somebody else."""
        if time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        self._renewed_at = time.monotonic()
        with self._catalog.write() as session:
            if not self.take(session):
                raise _Lost

    def drop(self) -> None:
        with self._catalog.write() as session:
            drop_lock(session, self._name, self._owner)


def complete(
    catalog: Catalog,
    objects: Objects,
    upload_id: str,
    claimed: list[CompletedPart] | None,
    settings: Settings,
) -> UploadRow:
    """Make one object of the parts and return the upload, which is complete.

    Args:
        claimed: what the client believes to have sent, if it says so.

    Raises:
        NotFound: unknown upload.
        UploadIncomplete: parts are missing; send them and ask again.
        ValidationProblem: `claimed` is not what is stored.
        UploadBusy: another request is completing it.
        UploadDigestMismatch: the file is not the announced one; the upload is aborted.
        StateConflict: it was aborted.
        StorageUnavailable: the store failed; ask again.
    """
    hold = _Hold(catalog, upload_id)
    with catalog.write() as session:
        row = get(session, upload_id, lock=True)
        if row.status == "complete":
            return row
        _require_not_aborted(row)
        if not hold.take(session):
            raise UploadBusy(
                f"Upload '{upload_id}' is being completed by another request. Ask again shortly.",
                headers={"Retry-After": "2"},
            )
        uploads.keep_until(session, upload_id, USED_SECONDS)
    try:
        return _complete(catalog, objects, row, claimed, settings, hold)
    except _Lost:
        return _standing(catalog, upload_id)
    finally:
        hold.drop()


def _require_not_aborted(row: UploadRow) -> None:
    if row.status == "aborted":
        reason = f" {row.problem['detail']}" if row.problem else " POST a new one."
        raise StateConflict(f"Upload '{row.id}' was aborted.{reason}")


def _standing(catalog: Catalog, upload_id: str) -> UploadRow:
    """Return what another request has made of the upload."""
    with catalog.read() as session:
        row = get(session, upload_id)
    if row.status == "complete":
        return row
    _require_not_aborted(row)
    raise UploadBusy(f"Upload '{upload_id}' is being completed by another request.")


def _complete(
    catalog: Catalog,
    objects: Objects,
    row: UploadRow,
    claimed: list[CompletedPart] | None,
    settings: Settings,
    hold: _Hold,
) -> UploadRow:
    if row.status == "open":
        with catalog.read() as session:
            arrived = arrived_parts(session, objects, row)
        _check_arrived(row, arrived)
        _check_claimed(claimed, arrived)
        _set_status(catalog, row.id, "open", "completing")
    with catalog.read() as session:  # from here on parts are not replaced any more
        keys = [
            part_object_key(row.id, part.number, part.etag or "")
            for part in uploads.list_parts(session, row.id, limit=part_count(row))
        ]
    try:
        if row.multipart_id is None:
            _join(objects, row, keys, hold)
        else:
            _join_at_store(catalog, objects, row)
            _verify(objects, row, hold)
    except UploadDigestMismatch as error:
        _end_aborted(catalog, objects, row, error)
        raise
    except ObjectMissing:
        return _parts_gone(catalog, objects, row)
    return _end_complete(catalog, objects, row, settings)


def _check_arrived(row: UploadRow, arrived: list[ArrivedPart]) -> None:
    have = {part.number: part.size_bytes for part in arrived}
    count = part_count(row)
    missing = [n for n in range(1, count + 1) if n not in have]
    if missing:
        named = ", ".join(map(str, missing[:NAMED_PARTS]))
        more = f" and {len(missing) - NAMED_PARTS} more" if len(missing) > NAMED_PARTS else ""
        raise UploadIncomplete(
            f"{len(missing)} of {count} parts are missing: {named}{more}. Send them and ask again."
        )
    wrong = [n for n in range(1, count + 1) if have[n] != part_size(row, n)]
    extra = [n for n in have if n > count]
    if wrong or extra:
        raise UploadIncomplete(
            f"Parts of another size than agreed: {(wrong + extra)[:NAMED_PARTS]}. Send them again."
        )


def _check_claimed(claimed: list[CompletedPart] | None, arrived: list[ArrivedPart]) -> None:
    if claimed is None:
        return
    have = {part.number: part.etag for part in arrived}
    said = {part.number: part.etag.strip('"') for part in claimed}
    errors = [
        FieldProblem(pointer=f"/parts/{number}", detail="not the ETag of what is stored")
        for number in sorted(have.keys() | said.keys())
        if have.get(number) != said.get(number)
    ]
    if errors or len(said) != len(claimed):
        raise ValidationProblem(
            "`parts` is not what is stored; `errors` names the parts. Send those parts again, or "
            "leave `parts` out.",
            errors=errors[:100],
        )


def _set_status(catalog: Catalog, upload_id: str, old: str, new: str) -> None:
    with catalog.write() as session:
        row = get(session, upload_id, lock=True)
        if row.status != old:
            raise _Lost
        row.status = new


def _join(objects: Objects, row: UploadRow, keys: list[str], hold: _Hold) -> None:
    """Write the parts one after the other into the whole, which appears at once or not at all."""

    def pieces() -> Iterator[bytes]:
        for key in keys:
            yield from objects.open_stream(key)

    objects.require_room(row.size_bytes)
    with read_ahead(_checked(row, pieces(), hold.renew)) as checked:
        objects.put_stream(row.object_key, checked)


def _join_at_store(catalog: Catalog, objects: Objects, row: UploadRow) -> None:
    if objects.exists(row.object_key):  # done before this process was asked
        return
    if objects.multipart is None or row.multipart_id is None:
        raise StorageUnavailable(
            "The upload was begun at an S3 store whose credentials this process does not have."
        )
    with catalog.read() as session:
        arrived = arrived_parts(session, objects, row)
    parts = [StoredPart(p.number, p.size_bytes, p.etag) for p in arrived]
    try:
        objects.multipart.complete(row.object_key, row.multipart_id, parts)
    except UploadMissing as error:
        if not objects.exists(row.object_key):
            raise ObjectMissing(row.object_key) from error
    except PartsRefused as error:
        raise UploadIncomplete(
            "The object store refused the parts; one was sent again meanwhile. Ask again."
        ) from error


def _verify(objects: Objects, row: UploadRow, hold: _Hold) -> None:
    """Read the whole, if the client said what it must be."""
    if row.sha256 is not None:
        for _ in _checked(row, objects.open_stream(row.object_key), hold.renew):
            pass


def _checked(row: UploadRow, pieces: Iterator[bytes], renew: Callable[[], None]) -> Iterator[bytes]:
    """Pass bytes on; at their end raise UploadDigestMismatch if they are not the announced file."""
    digest, size_bytes = hashlib.sha256(), 0
    for piece in pieces:
        renew()
        digest.update(piece)
        size_bytes += len(piece)
        yield piece
    if size_bytes != row.size_bytes or row.sha256 not in (None, digest.hexdigest()):
        raise UploadDigestMismatch(
            f"The file has SHA-256 {digest.hexdigest()} and {size_bytes} bytes; announced were "
            f"{row.sha256} and {row.size_bytes}. Its parts were deleted; POST a new upload."
        )


def _parts_gone(catalog: Catalog, objects: Objects, row: UploadRow) -> UploadRow:
    """Bytes that were stored are not there: somebody was faster, or the store has lost them."""
    with catalog.read() as session:
        now = get(session, row.id)
    if now.status != "completing":
        return _standing(catalog, row.id)
    error = StateConflict("The object store has lost parts of the upload. POST a new one.")
    _end_aborted(catalog, objects, row, error)
    raise error


def _end_aborted(catalog: Catalog, objects: Objects, row: UploadRow, error: ProblemError) -> None:
    with catalog.write() as session:
        now = get(session, row.id, lock=True)
        if now.status == "complete":
            return
        now.status = "aborted"
        now.problem = error.to_json()
        uploads.drop_parts(session, row.id)
    forget_bytes(objects, row)


def _end_complete(
    catalog: Catalog, objects: Objects, row: UploadRow, settings: Settings
) -> UploadRow:
    with catalog.write() as session:
        now = get(session, row.id, lock=True)
        is_ours = now.status == "completing"
        if is_ours:
            now.status = "complete"
            uploads.drop_parts(session, row.id)
            uploads.keep_until(session, row.id, 3600 * settings.upload_hours)
            session.flush()
            session.refresh(now)
    if not is_ours:
        if now.status == "aborted":
            forget_bytes(objects, row)
        raise _Lost
    objects.delete([f.key for f in objects.list(f"uploads/{row.id}/parts")])
    return now
