"""Messages of webhooks: the outbox, the claims of senders, the log."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import WebhookDeliveryRow, WebhookTallyRow
from storage.catalog.upsert import insert_new

BATCH_ROWS: Final = 500


@dataclass(frozen=True)
class Due:
    """A delivery that waits to be sent, and what it is sent to."""

    id: str
    target: str


def add_deliveries(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert messages that are due at once."""
    for values in rows:
        session.add(
            WebhookDeliveryRow(
                **values,
                status="pending",
                log=[],
                epoch=0,
                next_at=db_now(),
                created_at=db_now(),
            )
        )
    session.flush()


def get_delivery(session: Session, delivery_id: str) -> WebhookDeliveryRow | None:
    return session.get(WebhookDeliveryRow, delivery_id)


def list_deliveries(
    session: Session,
    *,
    before: str | None,
    limit: int,
    endpoint_id: str | None = None,
    job_id: str | None = None,
    event: str | None = None,
    status: str | None = None,
) -> list[WebhookDeliveryRow]:
    """Newest first, of an endpoint or of the address that a job names; `before` is an id."""
    row = WebhookDeliveryRow
    query = select(row).order_by(row.id.desc()).limit(limit)
    if endpoint_id is not None:
        query = query.where(row.endpoint_id == endpoint_id)
    else:
        query = query.where(row.job_id == job_id, row.endpoint_id.is_(None))
    for column, value in ((row.event, event), (row.status, status)):
        if value is not None:
            query = query.where(column == value)
    if before:
        query = query.where(row.id < before)
    return list(session.scalars(query))


def due(session: Session, without: Collection[str], limit: int) -> list[Due]:
    """Return what is to be sent now, the longest due first, but nothing to these targets."""
    row = WebhookDeliveryRow
    query = (
        select(row.id, row.target)
        .where(row.status == "pending", row.next_at <= db_now())
        .order_by(row.next_at, row.id)
        .limit(limit)
    )
    if without:
        query = query.where(row.target.not_in(without))
    return [Due(delivery_id, target) for delivery_id, target in session.execute(query)]


def claim(session: Session, delivery_id: str, lease_seconds: float) -> WebhookDeliveryRow | None:
    """Take a delivery that is due; None if somebody else was faster."""
    row = WebhookDeliveryRow
    result = session.execute(
        update(row)
        .where(row.id == delivery_id, row.status == "pending", row.next_at <= db_now())
        .values(epoch=row.epoch + 1, next_at=db_now() + lease_seconds)
        .returning(row.id)
    )
    if result.first() is None:
        return None
    return session.get(row, delivery_id, populate_existing=True)


def settle(
    session: Session,
    delivery_id: str,
    epoch: int,
    *,
    status: str,
    log: list[dict[str, Any]],
    next_in_seconds: float | None,
) -> bool:
    """Write how an attempt went; False if the claim of this epoch is not ours any more."""
    row = WebhookDeliveryRow
    is_over = next_in_seconds is None
    result = session.execute(
        update(row)
        .where(row.id == delivery_id, row.epoch == epoch, row.status == "pending")
        .values(
            status=status,
            log=log,
            next_at=None if is_over else db_now() + next_in_seconds,
            finished_at=db_now() if is_over else None,
        )
        .returning(row.id)
    )
    return result.first() is not None


def tally(session: Session, outcome: str) -> None:
    """Count an attempt."""
    row = WebhookTallyRow
    insert_new(session, row, {"outcome": outcome, "count": 0}, ["outcome"])
    session.execute(update(row).where(row.outcome == outcome).values(count=row.count + 1))


def tallies(session: Session) -> dict[str, int]:
    """Return how many attempts ended in which way."""
    query = select(WebhookTallyRow.outcome, WebhookTallyRow.count)
    return {outcome: count for outcome, count in session.execute(query)}  # noqa: C416 - for types


def count_pending(session: Session) -> int:
    query = select(func.count()).where(WebhookDeliveryRow.status == "pending")
    return session.scalar(query) or 0


def remove_old(session: Session, older_than_seconds: float, limit: int = BATCH_ROWS) -> int:
    """Remove a batch of deliveries that ended so long ago; returns how many."""
    row = WebhookDeliveryRow
    found = select(row.id).where(row.finished_at < db_now() - older_than_seconds).limit(limit)
    result = session.execute(delete(row).where(row.id.in_(found)).returning(row.id))
    return len(result.all())
