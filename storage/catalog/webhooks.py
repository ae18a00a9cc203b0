"""Webhook endpoints: rows, with their secrets as encrypted text."""

from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import WebhookEndpointRow
from storage.catalog.upsert import insert_new


def add_endpoint(session: Session, values: dict[str, Any]) -> bool:
    """Insert an endpoint; False if the name is taken."""
    return insert_new(session, WebhookEndpointRow, {**values, "created_at": db_now()}, ["name"])


def find_endpoint(
    session: Session, reference: str, *, lock: bool = False
) -> WebhookEndpointRow | None:
    """The endpoint with this id or name."""
    query = select(WebhookEndpointRow).where(
        or_(WebhookEndpointRow.id == reference, WebhookEndpointRow.name == reference)
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def list_endpoints(session: Session, after: str | None, limit: int) -> list[WebhookEndpointRow]:
    """Endpoints by name; `after` is the last name seen."""
    query = select(WebhookEndpointRow).order_by(WebhookEndpointRow.name).limit(limit)
    if after:
        query = query.where(WebhookEndpointRow.name > after)
    return list(session.scalars(query))


def count_endpoints(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(WebhookEndpointRow)) or 0


def subscriptions(session: Session) -> list[tuple[str, list[str]]]:
    """Ids and filters of the endpoints that are switched on."""
    query = select(WebhookEndpointRow.id, WebhookEndpointRow.events).where(
        WebhookEndpointRow.enabled
    )
    return [(endpoint_id, events) for endpoint_id, events in session.execute(query)]


def disable(session: Session, endpoint_id: str, reason: str) -> None:
    session.execute(
        update(WebhookEndpointRow)
        .where(WebhookEndpointRow.id == endpoint_id)
        .values(enabled=False, disabled_reason=reason)
    )


def delete_endpoint(session: Session, endpoint_id: str) -> None:
    session.execute(delete(WebhookEndpointRow).where(WebhookEndpointRow.id == endpoint_id))


def encrypted(session: Session, after_id: str, limit: int) -> list[WebhookEndpointRow]:
    """Endpoints by id from after `after_id` on."""
    query = (
        select(WebhookEndpointRow)
        .where(WebhookEndpointRow.id > after_id)
        .order_by(WebhookEndpointRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def replace_secrets(session: Session, endpoint_id: str, old: str, new: str) -> bool:
    """Replace the encrypted text if it is still `old`; returns whether it was."""
    result = session.execute(
        update(WebhookEndpointRow)
        .where(WebhookEndpointRow.id == endpoint_id, WebhookEndpointRow.secrets == old)
        .values(secrets=new)
        .returning(WebhookEndpointRow.id)
    )
    return result.first() is not None
