"""Jobs: rows, counts and pages."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import JobRow, PipelineRow
from storage.catalog.upsert import insert_new

COUNTS = ("queued", "running", "succeeded", "failed", "skipped", "cancelled")


def add_job(session: Session, row: JobRow) -> None:
    session.add(row)
    session.flush()


def add_pipeline(session: Session, digest: str, config: dict[str, Any]) -> None:
    """Insert a pipeline configuration unless it is known."""
    insert_new(
        session,
        PipelineRow,
        {"digest": digest, "config": config, "created_at": db_now()},
        key=["digest"],
    )


def get_pipeline(session: Session, digest: str) -> dict[str, Any]:
    """Return a stored configuration.

    Raises:
        LookupError: unknown digest.
    """
    row = session.get(PipelineRow, digest)
    if row is None:
        raise LookupError(f"pipeline {digest} is not in the catalog")
    return row.config


def get_job(session: Session, job_id: str) -> JobRow | None:
    return session.get(JobRow, job_id)


def lock_job(session: Session, job_id: str) -> JobRow:
    """Return the job's row, locked until the transaction ends.

    Every transaction that changes a job, its items or chunks takes this lock first, so that
    they queue up instead of deadlocking.

    Raises:
        LookupError: there is no such job.
    """
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise LookupError(f"job {job_id} is not in the catalog")
    return row


def list_jobs(
    session: Session,
    *,
    after: str | None,
    limit: int,
    status: str | None = None,
    job_type: str | None = None,
) -> list[JobRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
    query = query.where(JobRow.deleted_at.is_(None))
    if after:
        query = query.where(JobRow.id < after)
    if status:
        query = query.where(JobRow.status == status)
    if job_type:
        query = query.where(JobRow.type == job_type)
    return list(session.scalars(query))


def unfinished_jobs(session: Session) -> list[JobRow]:
    """Jobs with something left to do: by priority, then by turn, then by age."""
    query = (
        select(JobRow)
        .where(JobRow.status.not_in(DONE_STATUSES))
        .order_by(JobRow.priority.desc(), JobRow.dispatched_seq, JobRow.id)
    )
    return list(session.scalars(query))


def count_unfinished_images(session: Session) -> int:
    query = select(func.sum(JobRow.queued + JobRow.running)).where(
        JobRow.status.not_in(DONE_STATUSES)
    )
    return int(session.scalar(query) or 0)


def take_turn(session: Session, job_id: str) -> None:
    """Put a job behind all others of its priority."""
    last = select(func.max(JobRow.dispatched_seq)).scalar_subquery()
    session.execute(update(JobRow).where(JobRow.id == job_id).values(dispatched_seq=last + 1))
