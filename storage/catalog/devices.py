"""Devices and their leases. A lease is (owner, epoch), by the database's clock."""

from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import DeviceRow, WorkerRow
from storage.catalog.upsert import insert_new


def take(session: Session, device_id: str, owner: str, seconds: float) -> int | None:
    """Take a device that nobody else holds; returns the epoch of the lease, or None."""
    insert_new(session, DeviceRow, {"id": device_id, "epoch": 0}, ["id"])
    return session.scalar(
        update(DeviceRow)
        .where(DeviceRow.id == device_id, or_(~_is_held(), DeviceRow.owner == owner))
        .values(owner=owner, epoch=DeviceRow.epoch + 1, lease_until=db_now() + seconds)
        .returning(DeviceRow.epoch)
    )


def renew(session: Session, device_id: str, owner: str, epoch: int, seconds: float) -> bool:
    """Extend a lease; False if it is not ours any more."""
    result: Any = session.execute(
        update(DeviceRow)
        .where(DeviceRow.id == device_id, DeviceRow.owner == owner, DeviceRow.epoch == epoch)
        .values(lease_until=db_now() + seconds)
    )
    return bool(result.rowcount)


def release(session: Session, device_id: str, owner: str) -> None:
    """Give a device back; does nothing if somebody else holds it by now."""
    session.execute(
        update(DeviceRow)
        .where(DeviceRow.id == device_id, DeviceRow.owner == owner)
        .values(owner=None, lease_until=None)
    )


def release_all(session: Session, owner: str) -> None:
    """Give back whatever a worker held that is known to be dead."""
    session.execute(
        update(DeviceRow).where(DeviceRow.owner == owner).values(owner=None, lease_until=None)
    )


def epoch_held(session: Session, device_id: str) -> int | None:
    """Return the epoch of the lease under which somebody has a device to himself, or None."""
    return session.scalar(select(DeviceRow.epoch).where(DeviceRow.id == device_id, _is_held()))


def note_yield(session: Session, worker_id: str, epoch: int | None) -> None:
    """Note that a worker has made room for the lease of this epoch."""
    session.execute(update(WorkerRow).where(WorkerRow.id == worker_id).values(yielded_epoch=epoch))


def count_at_work(
    session: Session, device_id: str, owner: str, epoch: int, silent_seconds: float
) -> int:
    """Return how many live workers still compute on a device that its lease is to have alone."""
    query = select(func.count()).where(
        WorkerRow.device_id == device_id,
        WorkerRow.id != owner,
        WorkerRow.seen_at >= db_now() - silent_seconds,
        or_(WorkerRow.yielded_epoch.is_(None), WorkerRow.yielded_epoch != epoch),
    )
    return session.scalar(query) or 0


def _is_held() -> ColumnElement[bool]:
    return DeviceRow.owner.is_not(None) & (DeviceRow.lease_until >= db_now())
