"""What each principal used on each day (UTC), and what it has under way."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import JobRow, UsageRow
from storage.catalog.upsert import insert_new


@dataclass(frozen=True)
class Used:
    """Totals of one principal: the last two of one day."""

    jobs: int
    queued_images: int
    stored_bytes: int
    device_seconds: float


@dataclass(frozen=True)
class Day:
    """A day (UTC), as `YYYY-MM-DD`, and when it ends."""

    name: str
    ends_at: datetime
    seconds_left: int  # at least 1


def today(session: Session) -> Day:
    """Return the day by the database's clock."""
    now = datetime.fromtimestamp(session.scalar(select(db_now())) or 0.0, UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ends_at = midnight + timedelta(days=1)
    return Day(now.strftime("%Y-%m-%d"), ends_at, int((ends_at - now).total_seconds()) + 1)


def add(
    session: Session,
    principal: str,
    *,
    images: int = 0,
    stored_bytes: int = 0,
    device_seconds: float = 0.0,
) -> None:
    """Count use of today. Locks the row of principal and day until the transaction ends.

    Take this lock last: nothing else may be locked after it.
    """
    identity = {"principal": principal, "day": today(session).name}
    empty = {"images": 0, "stored_bytes": 0, "device_seconds": 0.0}
    insert_new(session, UsageRow, {**identity, **empty}, key=["principal", "day"])
    session.execute(
        update(UsageRow)
        .filter_by(**identity)
        .values(
            images=UsageRow.images + images,
            stored_bytes=UsageRow.stored_bytes + stored_bytes,
            device_seconds=UsageRow.device_seconds + device_seconds,
        )
        .execution_options(synchronize_session=False)
    )


def used_by(session: Session, principal: str, day: str) -> Used:
    """Return what a principal has under way, and used on `day`."""
    jobs, images = session.execute(
        select(func.count(), func.sum(JobRow.queued + JobRow.running)).where(
            JobRow.created_by == principal, JobRow.status.not_in(DONE_STATUSES)
        )
    ).one()
    of_day = session.execute(
        select(UsageRow.stored_bytes, UsageRow.device_seconds).filter_by(
            principal=principal, day=day
        )
    ).first()
    stored_bytes, device_seconds = of_day or (0, 0.0)
    return Used(jobs, int(images or 0), stored_bytes, device_seconds)
