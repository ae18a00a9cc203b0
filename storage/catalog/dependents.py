"""What depends on something that is about to be deleted; looked up while it is claimed."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.label_sets import sets_showing
from storage.catalog.tables import (
    AnnotationSetRow,
    ImageSetEntryRow,
    JobItemRow,
    JobRow,
    ScheduleRow,
)

NAMED = 10  # dependents that are told apart; the rest is "and more"


def unfinished_jobs_with(session: Session, *conditions: Any) -> list[JobRow]:
    """Return jobs that meet the conditions and are not over, deleted or not."""
    query = (
        select(JobRow)
        .where(JobRow.status.not_in(DONE_STATUSES), *conditions)
        .order_by(JobRow.id)
        .limit(NAMED)
    )
    return list(session.scalars(query))


def unfinished_jobs_naming(session: Session, ids: Iterable[str]) -> list[JobRow]:
    """Return jobs that are not over and name one of the ids in what they were asked to do."""
    wanted = set(ids)
    query = select(JobRow).where(JobRow.status.not_in(DONE_STATUSES)).order_by(JobRow.id)
    return [
        row
        for row in session.scalars(query)
        if row.retry_of in wanted or any(name in json.dumps(row.params) for name in wanted)
    ][:NAMED]


def finished_jobs_with(session: Session, *conditions: Any) -> list[str]:
    """Return ids of jobs that meet the conditions, are over and not deleted."""
    query = (
        select(JobRow.id)
        .where(JobRow.status.in_(DONE_STATUSES), JobRow.deleted_at.is_(None), *conditions)
        .order_by(JobRow.id)
        .limit(NAMED)
    )
    return list(session.scalars(query))


def jobs_showing(session: Session, label_id: str) -> list[str]:
    """Return ids of the jobs, deleted ones left out, that have the label as a result."""
    query = (
        select(JobItemRow.job_id)
        .join(JobRow, JobRow.id == JobItemRow.job_id)
        .where(
            JobItemRow.label_id == label_id,
            or_(JobRow.deleted_at.is_(None), JobRow.status.not_in(DONE_STATUSES)),
        )
        .distinct()
        .limit(1000)
    )
    return sorted(session.scalars(query))


def annotation_sets_of(session: Session, image_set_id: str) -> list[AnnotationSetRow]:
    query = select(AnnotationSetRow).where(
        AnnotationSetRow.image_set_id == image_set_id, AnnotationSetRow.deleted_at.is_(None)
    )
    return list(session.scalars(query))


def label_sets_on(session: Session, image_set_id: str) -> list[str]:
    """Return ids of the label sets that hold images of an image set."""
    digests = select(ImageSetEntryRow.image_digest).where(
        ImageSetEntryRow.image_set_id == image_set_id
    )
    return sets_showing(session, digests, NAMED)


def schedules_with(session: Session, asks_for: Callable[[dict[str, Any]], bool]) -> list[str]:
    """Return ids of the schedules whose job asks for the thing."""
    rows = session.execute(select(ScheduleRow.id, ScheduleRow.job).order_by(ScheduleRow.id))
    return [row.id for row in rows if asks_for(row.job)][:NAMED]
