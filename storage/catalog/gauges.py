"""Figures of the catalog for Prometheus: few rows are read, none of items."""

from dataclasses import dataclass, field

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.jobs import COUNTS
from storage.catalog.tables import JobRow, WorkerRow

OPEN_STATUSES = ("queued", "validating", "running", "finalizing", "cancelling")
Named = tuple[str, str]  # (type of job, status of job or image)


@dataclass
class JobFigures:
    """Jobs by (type, status) and their images by (type, status of the image)."""

    jobs: dict[Named, int] = field(default_factory=dict)
    images: dict[Named, int] = field(default_factory=dict)


def job_figures(session: Session, *, done: bool) -> JobFigures:
    """Count the jobs that are done, or those that are not, and their images."""
    sums = [func.sum(getattr(JobRow, name)).label(name) for name in COUNTS]
    query = (
        select(JobRow.type, JobRow.status, func.count().label("n"), *sums)
        .where(
            JobRow.status.in_(DONE_STATUSES if done else OPEN_STATUSES),
            JobRow.deleted_at.is_(None),
        )
        .group_by(JobRow.type, JobRow.status)
    )
    figures = JobFigures()
    for row in session.execute(query):
        figures.jobs[row.type, row.status] = row.n
        for name in COUNTS:
            key = (row.type, name)
            figures.images[key] = figures.images.get(key, 0) + int(getattr(row, name) or 0)
    return figures


def oldest_seconds(session: Session) -> dict[str, float]:
    """Return type of job → for how long its oldest image has waited."""
    since = func.coalesce(JobRow.schedule_at, JobRow.created_at)
    query = (
        select(JobRow.type, (db_now() - func.min(since)).label("seconds"))
        .where(
            JobRow.status.in_(OPEN_STATUSES),
            JobRow.queued > 0,
            or_(JobRow.schedule_at.is_(None), JobRow.schedule_at <= db_now()),
        )
        .group_by(JobRow.type)
    )
    return {row.type: max(0.0, float(row.seconds)) for row in session.execute(query)}


def live_workers(session: Session, silent_seconds: float) -> dict[str, int]:
    """Return queue → workers that were heard of in time."""
    query = (
        select(WorkerRow.queue, func.count().label("n"))
        .where(WorkerRow.seen_at > db_now() - silent_seconds)
        .group_by(WorkerRow.queue)
    )
    return {row.queue: row.n for row in session.execute(query)}
