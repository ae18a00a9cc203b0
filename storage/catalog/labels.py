"""Labels: written once, found again by digest."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import JobItemRow, LabelRow
from storage.catalog.upsert import insert_all_new


def add_labels(session: Session, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Insert labels, each unless one with its digest exists; all rows must have the same keys.

    Returns:
        Digest → id of the row that stands.
    """
    if not rows:
        return {}
    insert_all_new(session, LabelRow, rows, key=["digest"], expressions={"created_at": db_now()})
    digests = [row["digest"] for row in rows]
    query = select(LabelRow.digest, LabelRow.id).where(LabelRow.digest.in_(digests))
    found = {row.digest: row.id for row in session.execute(query)}
    missing = set(digests) - found.keys()
    if missing:
        raise LookupError(f"labels {sorted(missing)} vanished")
    return found


def get_label(session: Session, label_id: str) -> LabelRow | None:
    return session.get(LabelRow, label_id)


def get_labels(session: Session, label_ids: list[str]) -> dict[str, LabelRow]:
    """Return labels by id; not those that were deleted."""
    query = select(LabelRow).where(LabelRow.id.in_(label_ids), LabelRow.deleted_at.is_(None))
    rows = session.scalars(query)
    return {row.id: row for row in rows}


def first_label_of(session: Session, job_id: str) -> LabelRow | None:
    """The label of the first labelled item of a job."""
    query = (
        select(LabelRow)
        .join(JobItemRow, JobItemRow.label_id == LabelRow.id)
        .where(JobItemRow.job_id == job_id, JobItemRow.status == "succeeded")
        .order_by(JobItemRow.position)
        .limit(1)
    )
    return session.scalar(query)


def find_labels(session: Session, digests: list[str]) -> dict[str, LabelRow]:
    """Return the labels that exist already, by digest."""
    rows = session.scalars(select(LabelRow).where(LabelRow.digest.in_(digests)))
    return {row.digest: row for row in rows}
