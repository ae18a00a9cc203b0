"""Events of jobs: the stored ones, and the successes that the items' own numbers tell of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from api_schemas.events import ItemSucceeded
from storage.catalog.engine import db_now
from storage.catalog.tables import EventRow, JobItemRow, JobRow


@dataclass(frozen=True)
class Event:
    """Something that happened to a job; `seq` orders what happened to one job."""

    seq: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class EventPage:
    """Events in order. `upto_seq`: everything up to there is on this page or on earlier ones."""

    events: list[Event]
    upto_seq: int


def add_event(
    session: Session, job_id: str, seq: int, event_type: str, data: dict[str, Any]
) -> None:
    """Store an event; `seq` must be new for this job."""
    session.add(EventRow(job_id=job_id, seq=seq, type=event_type, data=data, created_at=db_now()))


def event_numbers(session: Session, job_ids: Iterable[str]) -> dict[str, int]:
    """Return job id → `event_seq` of the jobs that exist."""
    query = select(JobRow.id, JobRow.event_seq).where(JobRow.id.in_(list(job_ids)))
    return {row.id: row.event_seq for row in session.execute(query)}


def events_between(
    session: Session, job_id: str, *, after_seq: int, upto_seq: int, limit: int
) -> EventPage:
    """Return at most `limit` events with after_seq < seq ≤ upto_seq, in order."""
    stored = session.execute(
        select(EventRow.seq, EventRow.type, EventRow.data)
        .where(EventRow.job_id == job_id, EventRow.seq > after_seq, EventRow.seq <= upto_seq)
        .order_by(EventRow.seq)
        .limit(limit + 1)
    )
    found = [Event(row.seq, row.type, row.data) for row in stored]
    found += _successes(session, job_id, after_seq, upto_seq, limit + 1)
    found.sort(key=lambda event: event.seq)
    if len(found) <= limit:
        return EventPage(found, upto_seq)
    return EventPage(found[:limit], found[limit - 1].seq)


def _successes(
    session: Session, job_id: str, after_seq: int, upto_seq: int, limit: int
) -> list[Event]:
    rows = session.execute(
        select(
            JobItemRow.finish_seq,
            JobItemRow.position,
            JobItemRow.external_id,
            JobItemRow.label_id,
            JobItemRow.quality,
        )
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.finish_seq > after_seq,
            JobItemRow.finish_seq <= upto_seq,
            JobItemRow.status == "succeeded",
        )
        .order_by(JobItemRow.finish_seq)
        .limit(limit)
    )
    return [
        Event(
            row.finish_seq,
            "item.succeeded",
            ItemSucceeded(
                job=job_id,
                item=f"{job_id}.{row.position}",
                position=row.position,
                external_id=row.external_id,
                label_id=row.label_id,
                quality=row.quality,
            ).model_dump(mode="json"),
        )
        for row in rows
    ]


def reaches_back_to(session: Session, job_id: str, seq: int) -> bool:
    """Whether all events after `seq` are still stored.

    Events go by age, oldest first, and every job begins with one under number 1: as long as one
    at, before or next to `seq` is there, none after it is missing.
    """
    query = select(exists().where(EventRow.job_id == job_id, EventRow.seq <= seq + 1))
    return bool(session.scalar(query))


def remove_old(session: Session, older_than_seconds: float, limit: int) -> int:
    """Forget at most `limit` events of that age; returns how many.

    The oldest go first, so that what is left of a job has no holes.
    """
    old = (
        select(EventRow.job_id, EventRow.seq)
        .where(EventRow.created_at < db_now() - older_than_seconds)
        .order_by(EventRow.created_at, EventRow.seq)
        .limit(limit)
    )
    keys = [(row.job_id, row.seq) for row in session.execute(old)]
    for job_id in {job_id for job_id, _ in keys}:
        last = max(seq for owner, seq in keys if owner == job_id)
        session.execute(delete(EventRow).where(EventRow.job_id == job_id, EventRow.seq <= last))
    return len(keys)
