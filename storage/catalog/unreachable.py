"""Marks on objects that nothing refers to. All times are those of the database."""

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import UnreachableObjectRow
from storage.catalog.upsert import insert_all_new


def mark(session: Session, sizes_bytes: Mapping[str, int]) -> None:
    """Mark units, in the order of their names; a unit that is marked keeps its time."""
    rows = [{"key": unit, "size_bytes": sizes_bytes[unit]} for unit in sorted(sizes_bytes)]
    if rows:
        expressions = {"marked_at": db_now()}
        insert_all_new(session, UnreachableObjectRow, rows, key=["key"], expressions=expressions)


def find_marked(session: Session, units: Iterable[str]) -> list[str]:
    """Return those of the units that are marked, in order."""
    query = select(UnreachableObjectRow.key).where(UnreachableObjectRow.key.in_(list(units)))
    return sorted(session.scalars(query))


def unmark(session: Session, unit: str, deleting_seconds: float) -> bool:
    """Take a mark away; False while the objects are being deleted.

    A deletion that began more than `deleting_seconds` ago is over, finished or not.
    """
    over = UnreachableObjectRow.deleting_at < db_now() - deleting_seconds
    session.execute(
        delete(UnreachableObjectRow).where(
            UnreachableObjectRow.key == unit,
            or_(UnreachableObjectRow.deleting_at.is_(None), over),
        )
    )
    return not find_marked(session, [unit])


def due(
    session: Session, *, grace_seconds: float, deleting_seconds: float, limit: int
) -> list[UnreachableObjectRow]:
    """Return marks that are old enough, oldest first; not those under deletion by somebody."""
    query = (
        select(UnreachableObjectRow)
        .where(*_is_due(grace_seconds, deleting_seconds))
        .order_by(UnreachableObjectRow.marked_at, UnreachableObjectRow.key)
        .limit(limit)
    )
    return list(session.scalars(query))


def lock_due(
    session: Session, units: Iterable[str], *, grace_seconds: float, deleting_seconds: float
) -> list[str]:
    """Lock marks, in the order of their names; returns those that are still due."""
    query = (
        select(UnreachableObjectRow.key)
        .where(UnreachableObjectRow.key.in_(list(units)), *_is_due(grace_seconds, deleting_seconds))
        .order_by(UnreachableObjectRow.key)
        .with_for_update()
    )
    return list(session.scalars(query))


def _is_due(grace_seconds: float, deleting_seconds: float) -> tuple[ColumnElement[bool], ...]:
    return (
        UnreachableObjectRow.marked_at <= db_now() - grace_seconds,
        or_(
            UnreachableObjectRow.deleting_at.is_(None),
            UnreachableObjectRow.deleting_at < db_now() - deleting_seconds,
        ),
    )


def begin_deleting(session: Session, units: Iterable[str]) -> None:
    session.execute(
        update(UnreachableObjectRow)
        .where(UnreachableObjectRow.key.in_(list(units)))
        .values(deleting_at=db_now())
    )


def forget(session: Session, units: Iterable[str]) -> None:
    """Take marks away, whatever they say."""
    session.execute(delete(UnreachableObjectRow).where(UnreachableObjectRow.key.in_(list(units))))


def totals(session: Session) -> list[tuple[str, int]]:
    """Return (unit, bytes) of all marks."""
    rows = session.execute(select(UnreachableObjectRow.key, UnreachableObjectRow.size_bytes))
    return [(row.key, row.size_bytes) for row in rows]


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(UnreachableObjectRow)) or 0
