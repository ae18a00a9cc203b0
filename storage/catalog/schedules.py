"""Schedules and their ticks."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.catalog.advancing import UNFINISHED
from storage.catalog.engine import db_now
from storage.catalog.tables import JobRow, ScheduleRow, ScheduleTickRow
from storage.catalog.upsert import insert_new


def add_schedule(session: Session, row: ScheduleRow) -> None:
    session.add(row)
    session.flush()


def get_schedule(session: Session, schedule_id: str) -> ScheduleRow | None:
    return session.get(ScheduleRow, schedule_id)


def lock_schedule(session: Session, schedule_id: str) -> ScheduleRow | None:
    """Return a schedule, locked until the transaction ends; who fires or changes it does so."""
    return session.get(ScheduleRow, schedule_id, with_for_update=True, populate_existing=True)


def list_schedules(session: Session, after: str | None, limit: int) -> list[ScheduleRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(ScheduleRow).order_by(ScheduleRow.id.desc()).limit(limit)
    if after:
        query = query.where(ScheduleRow.id < after)
    return list(session.scalars(query))


def delete_schedule(session: Session, row: ScheduleRow) -> None:
    """Remove a schedule with its ticks; its jobs stay."""
    session.delete(row)


def due_schedules(session: Session, now: float | None, limit: int) -> list[str]:
    """Return the ids of the schedules that are due, the longest overdue first."""
    query = (
        select(ScheduleRow.id)
        .where(
            ScheduleRow.paused.is_(False),
            ScheduleRow.next_due_at <= (db_now() if now is None else now),
        )
        .order_by(ScheduleRow.next_due_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def unfinished_job(session: Session, schedule_id: str) -> str | None:
    """Return the id of a job of the schedule that goes on, if there is one."""
    query = select(JobRow.id).where(
        JobRow.schedule_id == schedule_id, JobRow.status.in_(UNFINISHED)
    )
    return session.scalar(query.order_by(JobRow.id).limit(1))


def add_tick(
    session: Session,
    schedule_id: str,
    due_at: float,
    outcome: str,
    problem: dict[str, Any] | None = None,
) -> bool:
    """Insert a tick; False if this due time has one already."""
    values = {
        "schedule_id": schedule_id,
        "due_at": due_at,
        "outcome": outcome,
        "problem": problem,
        "created_at": db_now(),
    }
    return insert_new(session, ScheduleTickRow, values, key=["schedule_id", "due_at"])


def change_tick(session: Session, schedule_id: str, due_at: float, values: dict[str, Any]) -> None:
    session.execute(
        update(ScheduleTickRow)
        .where(ScheduleTickRow.schedule_id == schedule_id, ScheduleTickRow.due_at == due_at)
        .values(**values)
    )


def list_ticks(
    session: Session, schedule_id: str, before: float | None, limit: int
) -> list[ScheduleTickRow]:
    """Latest first; `before` is the due time of the last one seen."""
    query = (
        select(ScheduleTickRow)
        .where(ScheduleTickRow.schedule_id == schedule_id)
        .order_by(ScheduleTickRow.due_at.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(ScheduleTickRow.due_at < before)
    return list(session.scalars(query))
