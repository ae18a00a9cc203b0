"""Jobs: rows, counts and pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal, select, tuple_, update
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import JobRow, PipelineRow
from storage.catalog.upsert import insert_new

FAR_FUTURE: Final = 1e18
OPEN_STATUSES = ("queued", "validating", "running", "finalizing", "cancelling")
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


def get_jobs(session: Session, job_ids: Collection[str]) -> dict[str, JobRow]:
    """Return jobs by id; not those that were deleted."""
    query = select(JobRow).where(JobRow.id.in_(job_ids), JobRow.deleted_at.is_(None))
    return {row.id: row for row in session.scalars(query)}


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


@dataclass(frozen=True)
class JobOrder:
    """A column to sort jobs by; those that have no value in it come last."""

    field: str
    descending: bool

    @property
    def expression(self) -> ColumnElement[Any]:
        column: ColumnElement[Any] = getattr(JobRow, self.field)
        return func.coalesce(column, -1.0 if self.descending else FAR_FUTURE)

    def value_of(self, row: JobRow) -> float:
        """The value of a row in this order."""
        value: float | None = getattr(row, self.field)
        if value is None:
            return -1.0 if self.descending else FAR_FUTURE
        return value


def list_jobs(
    session: Session,
    *,
    after: tuple[float | None, str] | None,
    limit: int,
    where: Sequence[ColumnElement[bool]] = (),
    order: JobOrder | None = None,
) -> list[JobRow]:
    """Newest first, or in the order given; jobs of equal value stand in the order of their ids.

    Args:
        after: value (None without order) and id of the last one seen.
    """
    query = select(JobRow).where(JobRow.deleted_at.is_(None), *where).limit(limit)
    descending = order is None or order.descending
    sorted_by: list[Any] = [JobRow.id] if order is None else [order.expression, JobRow.id]
    if after is not None:
        last = after[1:] if order is None else after
        here, seen = tuple_(*sorted_by), tuple_(*(literal(value) for value in last))
        query = query.where(here < seen if descending else here > seen)
    query = query.order_by(*(e.desc() if descending else e.asc() for e in sorted_by))
    return list(session.scalars(query))


def newest_with_labels(session: Session, types: Collection[str]) -> str | None:
    """Return the id of the newest job of some types that left a label."""
    query = (
        select(JobRow.id)
        .where(JobRow.type.in_(types), JobRow.succeeded > 0, JobRow.deleted_at.is_(None))
        .order_by(JobRow.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def count_unfinished_images(session: Session) -> int:
    query = select(func.sum(JobRow.queued + JobRow.running)).where(
        JobRow.status.not_in(DONE_STATUSES)
    )
    return int(session.scalar(query) or 0)


def take_turn(session: Session, job_id: str) -> None:
    """Put a job behind all others of its priority that are not done."""
    still = JobRow.status.in_(OPEN_STATUSES)  # by the index: there may be any number of old ones
    last = select(func.coalesce(func.max(JobRow.dispatched_seq), 0)).where(still).scalar_subquery()
    session.execute(update(JobRow).where(JobRow.id == job_id).values(dispatched_seq=last + 1))
