"""Items of jobs."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.orm import Session

from storage.catalog.tables import JobItemRow


def add_items(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert items; all rows must have the same keys."""
    if rows:
        session.execute(insert(JobItemRow), rows)


def list_items(
    session: Session,
    job_id: str,
    *,
    after_position: int = -1,
    limit: int = 500,
    status: str | None = None,
    where: Sequence[ColumnElement[bool]] = (),
) -> list[JobItemRow]:
    """Items in order of position."""
    query = (
        select(JobItemRow)
        .where(JobItemRow.job_id == job_id, JobItemRow.position > after_position, *where)
        .order_by(JobItemRow.position)
        .limit(limit)
    )
    if status:
        query = query.where(JobItemRow.status == status)
    return list(session.scalars(query))


def newest_labelled(session: Session, job_id: str, limit: int) -> list[JobItemRow]:
    """Items that have a label, the last one that got its own first."""
    query = (
        select(JobItemRow)
        .where(JobItemRow.job_id == job_id, JobItemRow.finish_seq.is_not(None))
        .order_by(JobItemRow.finish_seq.desc())
        .limit(limit)
    )
    return [row for row in session.scalars(query) if row.label_id]


def neighbours(session: Session, job_id: str, position: int) -> tuple[JobItemRow | None, ...]:
    """Return the labelled items before and after a position of a job; None where there is none."""
    labelled = (JobItemRow.job_id == job_id, JobItemRow.label_id.is_not(None))
    before = select(JobItemRow).where(*labelled, JobItemRow.position < position)
    after = select(JobItemRow).where(*labelled, JobItemRow.position > position)
    return (
        session.scalar(before.order_by(JobItemRow.position.desc()).limit(1)),
        session.scalar(after.order_by(JobItemRow.position).limit(1)),
    )


def items_at(session: Session, job_id: str, positions: Iterable[int]) -> dict[int, JobItemRow]:
    """Return the items at some positions."""
    rows = session.scalars(
        select(JobItemRow).where(
            JobItemRow.job_id == job_id, JobItemRow.position.in_(list(positions))
        )
    )
    return {row.position: row for row in rows}


def external_ids(session: Session, job_id: str, positions: Iterable[int]) -> dict[int, str]:
    """Return position → external id."""
    query = select(JobItemRow.position, JobItemRow.external_id).where(
        JobItemRow.job_id == job_id, JobItemRow.position.in_(list(positions))
    )
    return {row.position: row.external_id for row in session.execute(query)}


def pending_positions(
    session: Session, job_id: str, *, limit: int, with_evidence: bool
) -> list[int]:
    """Positions of queued items that no chunk holds, in order."""
    evidence = JobItemRow.evidence_digest
    query = (
        select(JobItemRow.position)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.status == "queued",
            JobItemRow.chunk_id.is_(None),
            evidence.is_not(None) if with_evidence else evidence.is_(None),
        )
        .order_by(JobItemRow.position)
        .limit(limit)
    )
    return list(session.scalars(query))


def first_positions(session: Session, job_id: str) -> Iterable[tuple[str, int]]:
    """Yield (image digest, first position) of the distinct images that are still to do."""
    query = (
        select(JobItemRow.image_digest, func.min(JobItemRow.position).label("first"))
        .where(JobItemRow.job_id == job_id, JobItemRow.status == "queued")
        .group_by(JobItemRow.image_digest)
    )
    for row in session.execute(query).yield_per(2000):
        if row.image_digest is not None:
            yield row.image_digest, row.first


def labels_by_image(session: Session, job_id: str, image_digests: list[str]) -> dict[str, str]:
    """Return image digest → label id of the labels of a job."""
    query = select(JobItemRow.image_digest, JobItemRow.label_id).where(
        JobItemRow.job_id == job_id,
        JobItemRow.image_digest.in_(image_digests),
        JobItemRow.label_id.is_not(None),
    )
    return {row.image_digest: row.label_id for row in session.execute(query)}


def assign_chunk(session: Session, job_id: str, positions: list[int], chunk_id: str | None) -> None:
    session.execute(
        update(JobItemRow)
        .where(JobItemRow.job_id == job_id, JobItemRow.position.in_(positions))
        .values(chunk_id=chunk_id)
    )


def start_items(session: Session, job_id: str, chunk_id: str) -> int:
    """queued → running for the items of a chunk; returns how many."""
    result: Any = session.execute(
        update(JobItemRow)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.chunk_id == chunk_id,
            JobItemRow.status == "queued",
        )
        .values(status="running", attempts=JobItemRow.attempts + 1)
    )
    return int(result.rowcount)


def requeue_items(session: Session, job_id: str, chunk_id: str) -> int:
    """running → queued for the items of a chunk; returns how many."""
    result: Any = session.execute(
        update(JobItemRow)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.chunk_id == chunk_id,
            JobItemRow.status == "running",
        )
        .values(status="queued")
    )
    return int(result.rowcount)


def end_item(
    session: Session, job_id: str, position: int, *, from_status: str, values: dict[str, Any]
) -> bool:
    """Change one item if it still has `from_status`; returns whether it had."""
    result: Any = session.execute(
        update(JobItemRow)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.position == position,
            JobItemRow.status == from_status,
        )
        .values(**values)
    )
    return bool(result.rowcount)


def cancel_queued(session: Session, job_id: str, limit: int) -> int:
    """queued → cancelled for at most `limit` items; returns how many."""
    positions = list(
        session.scalars(
            select(JobItemRow.position)
            .where(JobItemRow.job_id == job_id, JobItemRow.status == "queued")
            .order_by(JobItemRow.position)
            .limit(limit)
        )
    )
    result: Any = session.execute(
        update(JobItemRow)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.position.in_(positions),
            JobItemRow.status == "queued",
        )
        .values(status="cancelled", chunk_id=None)
    )
    return int(result.rowcount)
