"""Which jobs the scheduler has to look at: those with a step due, in one query for all of them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, or_, select
from sqlalchemy.orm import Session, aliased

from storage.catalog.engine import db_now
from storage.catalog.tables import ChunkRow, JobRow

# Named one by one so that the index on the status is used; finished jobs are the great majority.
UNFINISHED = ("queued", "validating", "running", "finalizing", "cancelling")


@dataclass(frozen=True)
class DueJob:
    """A job with a step due."""

    id: str
    status: str
    phase: str


def due_jobs(session: Session, limit: int) -> list[DueJob]:
    """Return the jobs that can be advanced now, by priority, then by turn, then by age.

    Not those that wait for their time, for their workers, or for an earlier job of a schedule.
    """
    waits_for_workers = and_(JobRow.queued == 0, JobRow.running > 0)
    query = (
        select(JobRow.id, JobRow.status, JobRow.phase)
        .where(
            JobRow.status.in_(UNFINISHED),
            case((JobRow.status == "cancelling", ~waits_for_workers), else_=_has_step_due()),
        )
        .order_by(JobRow.priority.desc(), JobRow.dispatched_seq, JobRow.id)
        .limit(limit)
    )
    return [DueJob(*row) for row in session.execute(query)]


def _has_step_due() -> ColumnElement[bool]:
    return or_(
        and_(JobRow.phase == "plan", _may_begin()),
        and_(JobRow.phase == "pilot", ~_has_open_chunk("pilot")),
        and_(
            JobRow.phase == "label",
            JobRow.evidence_ready > 0,
            JobRow.running == 0,
            JobRow.queued == JobRow.evidence_ready,
        ),
        and_(JobRow.phase == "fit", JobRow.job_fit_digest.is_not(None)),
        JobRow.phase == "final",
    )


def _may_begin() -> ColumnElement[bool]:
    earlier: Any = aliased(JobRow)
    return and_(
        or_(JobRow.schedule_at.is_(None), JobRow.schedule_at <= db_now()),
        or_(
            JobRow.schedule_id.is_(None),
            ~exists().where(
                earlier.schedule_id == JobRow.schedule_id,
                earlier.id < JobRow.id,
                earlier.status.in_(UNFINISHED),
            ),
        ),
    )


def _has_open_chunk(kind: str) -> ColumnElement[bool]:
    return exists().where(
        ChunkRow.job_id == JobRow.id, ChunkRow.kind == kind, ChunkRow.status != "done"
    )


def past_deadline(session: Session, limit: int) -> list[str]:
    """Return the ids of jobs that go on though their deadline has passed."""
    query = (
        select(JobRow.id)
        .where(
            JobRow.status.in_(UNFINISHED),
            JobRow.status != "cancelling",
            JobRow.deadline_at <= db_now(),
        )
        .order_by(JobRow.deadline_at)
        .limit(limit)
    )
    return list(session.scalars(query))
