"""Worker processes and the lock of the dispatcher."""

from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import DeviceRow, LockRow, WorkerRow
from storage.catalog.upsert import insert_new


def add_worker(
    session: Session,
    worker_id: str,
    *,
    queue: str,
    host: str,
    pid: int,
    device: str,
    facts: dict[str, Any] | None = None,
    device_id: str | None = None,
) -> None:
    session.add(
        WorkerRow(
            id=worker_id,
            queue=queue,
            host=host,
            pid=pid,
            device=device,
            device_id=device_id,
            facts=facts,
            started_at=db_now(),
            seen_at=db_now(),
        )
    )


def get_worker(session: Session, worker_id: str) -> WorkerRow | None:
    return session.get(WorkerRow, worker_id)


def see_worker(session: Session, worker_id: str) -> None:
    session.execute(update(WorkerRow).where(WorkerRow.id == worker_id).values(seen_at=db_now()))


def remove_worker(session: Session, worker_id: str) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def remove_silent_workers(session: Session, silent_seconds: float) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < db_now() - silent_seconds))


def count_live_workers(session: Session, queue: str, silent_seconds: float) -> int:
    """Return how many workers of a queue can work: alive, and their device nobody else's."""
    is_taken = exists().where(
        DeviceRow.id == WorkerRow.device_id,
        DeviceRow.owner.is_not(None),
        DeviceRow.owner != WorkerRow.id,
        DeviceRow.lease_until >= db_now(),
    )
    query = select(func.count()).where(
        WorkerRow.queue == queue, WorkerRow.seen_at >= db_now() - silent_seconds, ~is_taken
    )
    return session.scalar(query) or 0


def hold_lock(session: Session, name: str, owner: str, seconds: float) -> bool:
    """Take or keep a lock for `seconds`; False while somebody else holds it."""
    insert_new(
        session, LockRow, {"name": name, "owner": owner, "until": db_now() + seconds}, ["name"]
    )
    held = session.execute(
        update(LockRow)
        .where(LockRow.name == name, (LockRow.owner == owner) | (LockRow.until < db_now()))
        .values(owner=owner, until=db_now() + seconds)
        .returning(LockRow.name)
    )
    return held.first() is not None


def drop_lock(session: Session, name: str, owner: str) -> None:
    session.execute(delete(LockRow).where(LockRow.name == name, LockRow.owner == owner))
