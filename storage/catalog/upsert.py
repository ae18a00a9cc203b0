"""INSERT … ON CONFLICT DO NOTHING, for both databases."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.catalog.tables import Base


def insert_new(session: Session, table: type[Base], values: dict[str, Any], key: list[str]) -> bool:
    """Insert a row unless one with the same `key` columns exists; returns whether it was new."""
    statement = _insert(session, table).values(values).on_conflict_do_nothing(index_elements=key)
    # not rowcount: an INSERT of the ORM has none on PostgreSQL (-1)
    returning = statement.returning(*(getattr(table, name) for name in key))
    return session.execute(returning).first() is not None


def insert_all_new(
    session: Session,
    table: type[Base],
    rows: list[dict[str, Any]],
    key: list[str],
    expressions: dict[str, Any],
) -> None:
    """Insert rows, each unless one with the same `key` columns exists, in the order given.

    Args:
        rows: values of each row; all have the same keys.
        expressions: further columns, which the database computes alike for all rows.
    """
    statement = _insert(session, table.__table__).values(expressions)
    session.execute(statement.on_conflict_do_nothing(index_elements=key), rows)


def _insert(session: Session, table: Any) -> Any:
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
