"""Ingest jobs: an image set from elsewhere, file by file, written under a lease.

Entries of the set, items of the job and the place to go on from change in one transaction, so that
whoever takes over after a death loses no file and takes none twice. An item is queued as soon as it
is known that the file exists; its row is written when it was looked at.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import NoUsableImage
from domain import events, image_sets, job_states, jobs, quotas
from domain.image_sets import Intake, WrittenBatch
from domain.leases import LeaseLost
from domain.settings import Settings
from storage.catalog import chunks, items
from storage.catalog import jobs as job_rows
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.catalog.tables import ImageSetRow, JobRow

COUNTED_BEFORE: Final = "upload"  # its bytes were counted when they came
# a file that cannot be used is an item with a reason, however many there are
FAILURE_POLICY: Final = {"max_failed_fraction": 1.0, "min_failed_images": 1}


@dataclass(frozen=True)
class IngestRequest:
    """What a user asked for.

    Attributes:
        name: of the new set.
        source: what the worker needs to know; names a connection or an upload by its id.
        shown: what everybody may read about it.
        expected: files known from the start; more may be found.
    """

    name: str | None
    source: dict[str, Any]
    shown: dict[str, Any]
    expected: int
    created_by: str


def create(session: Session, request: IngestRequest) -> tuple[ImageSetRow, JobRow]:
    """Insert an empty set and the job that fills it, ready for the next free worker."""
    intake = image_sets.open_set(session, request.name, request.created_by, request.shown)
    job = jobs.new_job_row(
        session,
        job_type="ingest",
        image_set_id=intake.image_set_id,
        total=request.expected,
        params={"source": request.source},
        priority=0,
        failure_policy=dict(FAILURE_POLICY),
        metadata={},
        created_by=request.created_by,
    )
    chunks.add_chunk(session, new_id("chk"), job.id, "ingest", [])
    job_states.enter(session, job, "ingest")
    return image_sets.get_image_set(session, intake.image_set_id), job


def resume(session: Session, image_set_id: str) -> Intake:
    """Return the intake of a set that has received files before."""
    row = image_sets.get_image_set(session, image_set_id)
    return Intake(row.id, row.accepted + row.duplicate + row.rejected)


def expect(catalog: Catalog, lease: Lease, count: int) -> None:
    """Note that a source turned out to hold `count` files.

    Raises:
        LeaseLost: the chunk is not ours any more.
    """
    with catalog.write() as session:
        job = job_rows.lock_job(session, lease.job_id)
        if not chunks.is_held(session, lease):
            raise LeaseLost(lease.chunk_id)
        if job.status == "running":
            _find(job, count - job.total)


def commit(
    catalog: Catalog,
    lease: Lease,
    intake: Intake,
    cursor: dict[str, Any],
    *,
    settings: Settings,
    done: bool = False,
) -> bool:
    """Write what waits, all or nothing; False, and nothing written, when the job is over.

    Args:
        cursor: where the next worker goes on after this.
        done: the source holds no more files.

    Raises:
        LeaseLost: the chunk is not ours any more; nothing was written.
        QuotaExceeded: who asked may not store so much today; nothing was written.
    """
    with catalog.write() as session:
        job = job_rows.lock_job(session, lease.job_id)
        if not chunks.renew(session, lease, settings.lease_seconds):
            raise LeaseLost(lease.chunk_id)
        if job.status != "running":
            return False
        batch = intake.write(session)
        _add_items(session, job, batch)
        chunks.set_result(session, lease, cursor)
        if batch.rows:
            chunks.forgive(session, lease)
        if done:
            chunks.close(session, lease)
            _finish(session, job)
        if batch.stored_bytes and job.params["source"]["type"] != COUNTED_BEFORE:
            quotas.reserve_bytes(session, settings, job.created_by, batch.stored_bytes)
    intake.written()
    return True


def _find(job: JobRow, count: int) -> None:
    """Count files that were found and not looked at yet."""
    if count > 0:
        job.total += count
        job.queued += count
        events.tick(job)


def _add_items(session: Session, job: JobRow, batch: WrittenBatch) -> None:
    if not batch.rows:
        return
    _find(job, len(batch.rows) - job.queued)
    usable = []
    for row in batch.rows:
        if row["status"] != "rejected":
            job_states.move(job, "queued", "succeeded")  # one by one: each item has its number
            usable.append(_item(job, row, "succeeded"))
    items.add_items(session, usable)
    failed = []
    for row in batch.rows:
        if row["status"] == "rejected":
            job_states.move(job, "queued", "failed")
            failed.append(_item(job, row, "failed"))
            events.item_failed(job, row["position"], row["external_id"], row["problem"])
    items.add_items(session, failed)
    job.planned += len(batch.rows)
    events.tick(job)


def _item(job: JobRow, entry: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "position": entry["position"],
        "external_id": entry["external_id"],
        "file_name": entry["file_name"],
        "image_digest": entry["image_digest"],
        "status": status,
        "error": entry["problem"],
        "attempts": 1,
        "kills": 0,
        "finish_seq": job.event_seq,
    }


def _finish(session: Session, job: JobRow) -> None:
    # what was expected and did not come was no file: an archive without any, for example
    job.total -= job.queued
    job.queued = 0
    image_set = image_sets.get_image_set(session, job.image_set_id or "")
    session.refresh(image_set)
    if image_set.accepted:
        result = {
            "image_set": image_set.id,
            "accepted": image_set.accepted,
            "duplicate": image_set.duplicate,
            "rejected": image_set.rejected,
        }
        job_states.complete(session, job, result)
        return
    if image_set.rejected:
        detail = "None of the files can be used. The job's items say why, one by one."
    else:
        detail = "The source holds no file. Check its address, and `prefix` and `suffixes`."
    job_states.fail_job(job, NoUsableImage(detail))
    job_states.settle(session, job)
