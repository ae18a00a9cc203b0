"""Label sets and their entries."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import JobItemRow, LabelRow, LabelSetEntryRow, LabelSetRow

BATCH_ROWS: Final = 500


@dataclass(frozen=True)
class Entry:
    """An entry, with its label unless that is by people or was deleted."""

    row: LabelSetEntryRow
    label: LabelRow | None

    @property
    def is_missing(self) -> bool:
        return self.label is None and self.row.annotation_key is None


def add_label_set(session: Session, row: LabelSetRow) -> None:
    session.add(row)
    session.flush()


def get_label_set(session: Session, label_set_id: str) -> LabelSetRow | None:
    return session.get(LabelSetRow, label_set_id)


def get_label_sets(session: Session, label_set_ids: Iterable[str]) -> dict[str, LabelSetRow]:
    """Return label sets by id; not those that were deleted."""
    query = select(LabelSetRow).where(
        LabelSetRow.id.in_(list(label_set_ids)), LabelSetRow.deleted_at.is_(None)
    )
    return {row.id: row for row in session.scalars(query)}


def lock_label_set(session: Session, label_set_id: str) -> LabelSetRow | None:
    """Return a label set, locked until the transaction ends."""
    return session.get(LabelSetRow, label_set_id, with_for_update=True, populate_existing=True)


def find_made_for(session: Session, made_for: str) -> LabelSetRow | None:
    """Return the set that was frozen for a round, ready or not."""
    return session.scalar(select(LabelSetRow).where(LabelSetRow.made_for == made_for))


def list_label_sets(session: Session, after: str | None, limit: int) -> list[LabelSetRow]:
    """Those that are ready, newest first; `after` is the id of the last one seen."""
    query = (
        select(LabelSetRow)
        .where(LabelSetRow.deleted_at.is_(None), LabelSetRow.status == "ready")
        .order_by(LabelSetRow.id.desc())
        .limit(limit)
    )
    if after:
        query = query.where(LabelSetRow.id < after)
    return list(session.scalars(query))


def labels_of_job(
    session: Session, job_id: str, *, after_position: int, limit: int
) -> list[tuple[int, str, LabelRow]]:
    """Return (position, external id, label) of a job's labels that were not deleted, in order."""
    query = (
        select(JobItemRow.position, JobItemRow.external_id, LabelRow)
        .join(LabelRow, LabelRow.id == JobItemRow.label_id)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.position > after_position,
            JobItemRow.status == "succeeded",
            LabelRow.deleted_at.is_(None),
        )
        .order_by(JobItemRow.position)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in session.execute(query)]


def hold_labels(session: Session, label_ids: Iterable[str]) -> set[str]:
    """Keep labels from being deleted until the transaction ends; returns those that are there."""
    query = (
        select(LabelRow.id)
        .where(LabelRow.id.in_(list(label_ids)), LabelRow.deleted_at.is_(None))
        .order_by(LabelRow.id)
        .with_for_update(read=True)
    )
    return set(session.scalars(query))


def add_entries(session: Session, label_set_id: str, rows: list[dict[str, Any]]) -> None:
    """Insert entries; all rows must have the same keys."""
    if rows:
        values = [{"label_set_id": label_set_id, **row} for row in rows]
        session.execute(insert(LabelSetEntryRow), values)


def clear_some_entries(session: Session, label_set_id: str) -> int:
    """Delete a batch of the entries of a set; returns how many."""
    batch = (
        select(LabelSetEntryRow.position)
        .where(LabelSetEntryRow.label_set_id == label_set_id)
        .limit(BATCH_ROWS)
    )
    result: Any = session.execute(
        delete(LabelSetEntryRow).where(
            LabelSetEntryRow.label_set_id == label_set_id, LabelSetEntryRow.position.in_(batch)
        )
    )
    return int(result.rowcount)


def delete_label_set(session: Session, label_set_id: str) -> None:
    """Remove a set with its entries, as if it had never been."""
    session.execute(delete(LabelSetRow).where(LabelSetRow.id == label_set_id))


def touch(session: Session, label_set_id: str) -> None:
    session.execute(
        update(LabelSetRow).where(LabelSetRow.id == label_set_id).values(touched_at=db_now())
    )


def list_entries(
    session: Session, label_set_id: str, *, after_position: int = -1, limit: int = BATCH_ROWS
) -> list[Entry]:
    """Entries in their order, with their labels."""
    query = (
        select(LabelSetEntryRow, LabelRow)
        .outerjoin(
            LabelRow, (LabelRow.id == LabelSetEntryRow.label_id) & LabelRow.deleted_at.is_(None)
        )
        .where(
            LabelSetEntryRow.label_set_id == label_set_id,
            LabelSetEntryRow.position > after_position,
        )
        .order_by(LabelSetEntryRow.position)
        .limit(limit)
    )
    return [Entry(row[0], row[1]) for row in session.execute(query)]


def count_missing(session: Session, label_set_id: str) -> int:
    """Return how many entries have lost their label."""
    live = exists().where(LabelRow.id == LabelSetEntryRow.label_id, LabelRow.deleted_at.is_(None))
    query = select(func.count()).where(
        LabelSetEntryRow.label_set_id == label_set_id,
        LabelSetEntryRow.annotation_key.is_(None),
        ~live,
    )
    return session.scalar(query) or 0


def sets_with_label(session: Session, label_id: str, limit: int) -> list[str]:
    """Return ids of the label sets, deleted ones left out, that hold a label."""
    query = (
        select(LabelSetRow.id)
        .join(LabelSetEntryRow, LabelSetEntryRow.label_set_id == LabelSetRow.id)
        .where(LabelSetEntryRow.label_id == label_id, LabelSetRow.deleted_at.is_(None))
        .order_by(LabelSetRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def sets_showing(session: Session, image_set_digests: Any, limit: int) -> list[str]:
    """Return ids of the label sets, deleted ones left out, with an image of a selection of them."""
    query = (
        select(LabelSetRow.id)
        .where(
            LabelSetRow.deleted_at.is_(None),
            exists().where(
                LabelSetEntryRow.label_set_id == LabelSetRow.id,
                LabelSetEntryRow.image_digest.in_(image_set_digests),
            ),
        )
        .order_by(LabelSetRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))
