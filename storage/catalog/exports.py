"""Labels for exports, page by page, and the items that a walk has written."""

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.tables import JobItemRow, JobRow, LabelRow

LABELLING_TYPES = ("generate", "refine")
BATCH_ROWS = 500


def newest_labels(
    session: Session, image_set_id: str, image_digests: list[str], before_job: str
) -> dict[str, LabelRow]:
    """Return image digest → the label that the newest finished job on a set gave it.

    Args:
        before_job: only jobs that are older than this one, so that the answer stays the same.
    """
    query = (
        select(JobItemRow.image_digest, LabelRow)
        .join(JobRow, JobRow.id == JobItemRow.job_id)
        .join(LabelRow, LabelRow.id == JobItemRow.label_id)
        .where(
            JobItemRow.image_digest.in_(image_digests),
            JobItemRow.status == "succeeded",
            JobRow.image_set_id == image_set_id,
            JobRow.type.in_(LABELLING_TYPES),
            JobRow.status.in_(DONE_STATUSES),
            JobRow.deleted_at.is_(None),
            JobRow.id < before_job,
            LabelRow.deleted_at.is_(None),
        )
        .order_by(JobRow.id)
    )
    found = ((row[0], row[1]) for row in session.execute(query))
    return {digest: label for digest, label in found if digest}  # the last one stays


def newest_labelling_job(session: Session, image_set_id: str) -> JobRow | None:
    """Return the newest finished job that gave images of a set labels."""
    query = (
        select(JobRow)
        .where(
            JobRow.image_set_id == image_set_id,
            JobRow.type.in_(LABELLING_TYPES),
            JobRow.status.in_(DONE_STATUSES),
            JobRow.deleted_at.is_(None),
            JobRow.succeeded > 0,
        )
        .order_by(JobRow.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def clear_some_items(session: Session, job_id: str) -> int:
    """Delete a batch of the items of a job; returns how many."""
    batch = select(JobItemRow.position).where(JobItemRow.job_id == job_id).limit(BATCH_ROWS)
    result: Any = session.execute(
        delete(JobItemRow).where(JobItemRow.job_id == job_id, JobItemRow.position.in_(batch))
    )
    return int(result.rowcount)


def list_exports(session: Session, after: str | None, limit: int) -> list[JobRow]:
    """Exports that were not deleted, newest first; `after` is the id of the last one seen."""
    query = (
        select(JobRow)
        .where(JobRow.type == "export", JobRow.deleted_at.is_(None))
        .order_by(JobRow.id.desc())
        .limit(limit)
    )
    if after:
        query = query.where(JobRow.id < after)
    return list(session.scalars(query))
