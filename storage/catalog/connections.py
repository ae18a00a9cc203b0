"""Connections: rows, with their secrets as encrypted text."""

from typing import Any

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import ConnectionRow, JobRow
from storage.catalog.upsert import insert_new


def add_connection(session: Session, values: dict[str, Any]) -> bool:
    """Insert a connection; False if the name is taken."""
    return insert_new(session, ConnectionRow, {**values, "created_at": db_now()}, key=["name"])


def find_connection(
    session: Session, reference: str, *, lock: bool = False
) -> ConnectionRow | None:
    """The connection with this id or name."""
    query = select(ConnectionRow).where(
        or_(ConnectionRow.id == reference, ConnectionRow.name == reference)
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def list_connections(session: Session, after: str | None, limit: int) -> list[ConnectionRow]:
    """Connections by name; `after` is the last name seen."""
    query = select(ConnectionRow).order_by(ConnectionRow.name).limit(limit)
    if after:
        query = query.where(ConnectionRow.name > after)
    return list(session.scalars(query))


def delete_connection(session: Session, connection_id: str) -> None:
    session.execute(delete(ConnectionRow).where(ConnectionRow.id == connection_id))


def store_test(session: Session, connection_id: str, result: dict[str, Any]) -> None:
    """Record what a test found, and when."""
    session.execute(
        update(ConnectionRow)
        .where(ConnectionRow.id == connection_id)
        .values(test_result=result, tested_at=db_now())
    )


def unfinished_jobs(session: Session, connection_id: str, limit: int = 10) -> list[str]:
    """Ids of jobs that read from a connection, or write to it, and are not done."""
    source = JobRow.params["source"]["connection_id"].as_string()
    destination = JobRow.params["destination"]["connection_id"].as_string()
    reads = and_(JobRow.type.in_(("ingest", "validate")), source == connection_id)
    writes = and_(JobRow.type == "export", destination == connection_id)
    query = (
        select(JobRow.id)
        .where(JobRow.status.not_in(DONE_STATUSES), or_(reads, writes))
        .limit(limit)
    )
    return list(session.scalars(query))


def encrypted(session: Session, after_id: str, limit: int) -> list[ConnectionRow]:
    """Connections that have secrets, by id from after `after_id` on."""
    query = (
        select(ConnectionRow)
        .where(ConnectionRow.secrets.is_not(None), ConnectionRow.id > after_id)
        .order_by(ConnectionRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def replace_secrets(session: Session, connection_id: str, old: str, new: str) -> bool:
    """Replace the encrypted text if it is still `old`; returns whether it was."""
    result = session.execute(
        update(ConnectionRow)
        .where(ConnectionRow.id == connection_id, ConnectionRow.secrets == old)
        .values(secrets=new)
        .returning(ConnectionRow.id)
    )
    return result.first() is not None
