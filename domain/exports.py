"""Exports: asked for, walked by a light worker under a lease, kept for a time.

An export is a job of type `export` with one chunk. Items are written as labels get through. A
worker that takes over begins from the start: what the one before has counted is taken back, and
its file was never whole. The object becomes the export's in the transaction that ends the job, so
a cancelled or failed export has none.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.exports import ExportCreate, ExportRequest
from api_schemas.ids import new_id
from api_schemas.problems import (
    Gone,
    NotFound,
    NothingToExport,
    StateConflict,
    ValidationProblem,
)
from domain import connections, events, job_states, jobs, quotas, webhook_outbox
from domain.export_sources import Resolved
from domain.leases import LeaseLost
from domain.settings import Settings
from storage.catalog import chunks, exports, items
from storage.catalog import jobs as job_rows
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import JobRow

DAY: Final = 86400.0
# a label whose files are gone is an item with a reason, however many there are
FAILURE_POLICY: Final = {"max_failed_fraction": 1.0, "min_failed_images": 1}


@dataclass(frozen=True)
class ThroughItem:
    """A label that is through, or why it is not."""

    external_id: str
    file_name: str
    quality: float | None = None
    error: dict[str, Any] | None = None


@dataclass
class ExportCommit:
    """What one transaction of the walk writes.

    Attributes:
        left_out: labels that do not get in.
        end: the result, when all is through.
    """

    items: list[ThroughItem] = field(default_factory=list)
    left_out: int = 0
    end: dict[str, Any] | None = None
    object_key: str | None = None
    stored_bytes: int = 0


def create(
    session: Session,
    request: ExportCreate,
    resolved: Resolved,
    *,
    strict: bool,
    created_by: str,
) -> JobRow:
    """Insert an export, ready for the next free worker.

    Raises:
        NotFound, ValidationProblem: the destination is no bucket that we know.
    """
    asked = request.model_dump(mode="json")
    params = {
        "export": {name: asked[name] for name in ("format", "source", "filters", "options")},
        "ontology": resolved.ontology,
        "origin": resolved.origin,
        "strict": strict,
        "expected": resolved.expected,
    }
    if request.destination is not None:
        connection = connections.lock(session, request.destination.connection)
        if connection.kind != "s3":
            raise ValidationProblem(
                f"Connection '{connection.name}' is of kind {connection.kind}; exports are written "
                "to buckets, kind `s3`. Leave destination out for a zip to download."
            )
        params["destination"] = {**asked["destination"], "connection_id": connection.id}
    job = jobs.new_job_row(
        session,
        job_type="export",
        image_set_id=None,
        total=0,
        params=params,
        priority=request.priority,
        failure_policy=dict(FAILURE_POLICY),
        metadata=request.metadata,
        created_by=created_by,
    )
    chunks.add_chunk(session, new_id("chk"), job.id, "export", [])
    job_states.enter(session, job, "export")
    return job


def request_of(job: JobRow) -> ExportRequest:
    """Return what an export was asked for."""
    return ExportRequest.model_validate(job.params["export"])


def get_export(session: Session, export_id: str) -> JobRow:
    """Return an export.

    Raises:
        NotFound, Gone: there is none, or it was deleted.
    """
    row = job_rows.get_job(session, export_id)
    if row is None or row.type != "export":
        raise NotFound(f"There is no export '{export_id[:80]}'. List them: GET /v1/exports.")
    return jobs.get_job(session, export_id)


def file_of(session: Session, export_id: str) -> tuple[JobRow, str]:
    """Return an export with the key of its file.

    Raises:
        NotFound, Gone: no such export, or its file is kept no more.
        StateConflict: it has no file: not done, or not a zip.
    """
    row = get_export(session, export_id)
    key = row.params.get("object_key")
    if key is None or row.result is None:
        raise StateConflict(
            f"Export '{row.id}' is {row.status} and has no file to download."
            if not row.params.get("destination")
            else f"Export '{row.id}' was written to a bucket; there is no zip of it."
        )
    now = session.scalar(select(db_now())) or 0.0
    if row.params["expires_at"] <= now:
        raise Gone(f"The file of export '{row.id}' is kept no more. POST the export again.")
    return row, key


def begin(catalog: Catalog, lease: Lease) -> bool:
    """Take back what a walk before this one has counted; False when the job is over.

    Raises:
        LeaseLost: the chunk is not ours any more.
    """
    while True:
        with catalog.write() as session:
            job = _held(session, lease)
            if job.status != "running":
                return False
            if exports.clear_some_items(session, job.id):
                continue
            job.total = job.queued = job.params["expected"]
            job.succeeded = job.failed = job.planned = 0
            events.tick(job)
            return True


def commit(catalog: Catalog, lease: Lease, work: ExportCommit, settings: Settings) -> bool:
    """Write what is through, all or nothing; False, and nothing written, when the job is over.

    Raises:
        LeaseLost: the chunk is not ours any more; nothing was written.
        QuotaExceeded: who asked may not store so much today; nothing was written.
    """
    with catalog.write() as session:
        job = _held(session, lease)
        if not chunks.renew(session, lease, settings.lease_seconds):
            raise LeaseLost(lease.chunk_id)
        if job.status != "running":
            return False
        _expect(job, len(work.items) + work.left_out)
        job.total -= work.left_out
        job.queued -= work.left_out
        _add_items(session, job, work.items)
        if work.end is not None:
            quotas.reserve_bytes(session, settings, job.created_by, work.stored_bytes)
            chunks.close(session, lease)
            _finish(session, job, work, settings)
        return True


def _held(session: Session, lease: Lease) -> JobRow:
    job = job_rows.lock_job(session, lease.job_id)
    if not chunks.is_held(session, lease):
        raise LeaseLost(lease.chunk_id)
    return job


def _expect(job: JobRow, count: int) -> None:
    """Make room where the source holds more than was thought."""
    more = count - job.queued
    if more > 0:
        job.total += more
        job.queued += more


def _add_items(session: Session, job: JobRow, through: list[ThroughItem]) -> None:
    """Write items: first those that got through, then those that failed, each with its number."""
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for position, item in enumerate(through, start=job.planned):
        job_states.move(job, "queued", "succeeded" if item.error is None else "failed")
        rows[item.error is None].append(_row(job, position, item))
        if item.error is not None:
            events.item_failed(job, position, item.external_id, item.error)
    for found in rows.values():
        items.add_items(session, found)
    job.planned += len(through)
    events.tick(job)


def _row(job: JobRow, position: int, item: ThroughItem) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "position": position,
        "external_id": item.external_id,
        "file_name": item.file_name,
        "image_digest": None,  # an item that names an image would keep it
        "status": "succeeded" if item.error is None else "failed",
        "quality": item.quality,
        "error": item.error,
        "attempts": 1,
        "kills": 0,
        "finish_seq": job.event_seq,
    }


def _finish(session: Session, job: JobRow, work: ExportCommit, settings: Settings) -> None:
    job.total -= job.queued
    job.queued = 0
    if not job.succeeded:
        detail = "No label meets the filters, or none could be read. "
        job_states.fail_job(job, NothingToExport(detail + "Widen `filters`; see the items."))
        job_states.settle(session, job)
        return
    if work.object_key is not None:
        now = session.scalar(select(db_now())) or 0.0
        expires_at = now + settings.keep_export_days * DAY
        job.params = {**job.params, "object_key": work.object_key, "expires_at": expires_at}
    job_states.complete(session, job, work.end)
    webhook_outbox.export_ready(job, work.end or {})
