"""Whose turn it is: jobs that have something to send, in one query however many there are."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select
from sqlalchemy.orm import Session

from storage.catalog.tables import ChunkRow, JobItemRow, JobRow


def jobs_in_turn(
    session: Session, kinds: Collection[str], cut: Collection[tuple[str, str]], limit: int
) -> list[str]:
    """Return the ids of the jobs of the highest priority that have work, in turn.

    Work is a chunk of one of `kinds` that is ready, or, for a (type, phase) of `cut`, an item that
    waits for a chunk to be cut. An item may go to another before it is locked: look again then.
    """
    has_work = or_(_has_ready_chunk(kinds), _has_waiting_item(cut))
    query = (
        select(JobRow.id, JobRow.priority)
        .where(JobRow.status == "running", has_work)
        .order_by(JobRow.priority.desc(), JobRow.dispatched_seq, JobRow.id)
        .limit(limit)
    )
    found = session.execute(query).all()
    return [row.id for row in found if row.priority == found[0].priority]


def _has_ready_chunk(kinds: Collection[str]) -> ColumnElement[bool]:
    return exists().where(
        ChunkRow.job_id == JobRow.id, ChunkRow.status == "ready", ChunkRow.kind.in_(kinds)
    )


def _has_waiting_item(cut: Collection[tuple[str, str]]) -> ColumnElement[bool]:
    evidence: Any = JobItemRow.evidence_digest
    return or_(
        false(),
        *(
            and_(
                JobRow.type == job_type,
                JobRow.phase == phase,
                JobRow.queued > 0,
                exists().where(
                    JobItemRow.job_id == JobRow.id,
                    JobItemRow.status == "queued",
                    JobItemRow.chunk_id.is_(None),
                    evidence.is_not(None) if phase == "finish" else evidence.is_(None),
                ),
            )
            for job_type, phase in cut
        ),
    )
