"""Locks on rows: hold what one is about to refer to, claim what one is about to delete.

A transaction that makes something refer to a row (a job to its image set, say) holds the row; one
that deletes it claims it. Either the deletion sees the new reference, or who refers sees the
deletion. On SQLite writers stand in line anyway.
"""

from typing import Any, TypeVar

from sqlalchemy.orm import Session

from storage.catalog.tables import Base

Row = TypeVar("Row", bound=Base)


def hold(session: Session, row: Row) -> Row:
    """Read a row again and keep it from being deleted until the transaction ends."""
    session.refresh(row, with_for_update={"read": True})
    return row


def claim(session: Session, table: type[Row], key: Any) -> Row | None:
    """Return a row that nobody holds, and that nobody can hold until the transaction ends."""
    return session.get(table, key, with_for_update=True, populate_existing=True)
