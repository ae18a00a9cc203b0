"""Predictions on their way to a tool: what waits, and what became of it, under a lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from domain import events, job_states
from domain.integrations import Profile
from domain.leases import LeaseLost
from storage.catalog import chunks, integrations, items
from storage.catalog import jobs as job_rows
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.catalog.tables import IntegrationTaskRow, JobRow


@dataclass(frozen=True)
class Pushed:
    """What became of one task: the version that it was sent, or why not."""

    task: IntegrationTaskRow
    version: str | None
    problem: dict[str, Any] | None


def waiting(session: Session, profile: Profile, after: int, limit: int) -> list[IntegrationTaskRow]:
    """Return tasks that wait, by id."""
    return integrations.waiting_tasks(session, profile.row.id, after=after, limit=limit)


def commit(
    catalog: Catalog, lease: Lease, done: Sequence[Pushed], *, lease_seconds: float, ended: bool
) -> bool:
    """Note what was sent; False, and nothing written, when the job is over.

    Raises:
        LeaseLost: the chunk is not ours any more; nothing was written.
    """
    with catalog.write() as session:
        job = job_rows.lock_job(session, lease.job_id)
        if not chunks.renew(session, lease, lease_seconds):
            raise LeaseLost(lease.chunk_id)
        if job.status != "running":
            return False
        _note(session, job, done)
        if done:
            chunks.forgive(session, lease)
        if ended:
            chunks.close(session, lease)
            job_states.complete(session, job, {"pushed": job.succeeded, "refused": job.failed})
        return True


def _note(session: Session, job: JobRow, done: Sequence[Pushed]) -> None:
    if not done:
        return
    job.total += len(done)
    job.queued += len(done)
    known = integrations.get_tasks(
        session, job.params["integration"], [one.task.task_id for one in done]
    )
    rows = []
    for one in done:
        position = job.planned
        job.planned += 1
        status = "succeeded" if one.problem is None else "failed"
        row = known.get(one.task.task_id)
        if row is not None:
            row.status = "pushed" if one.problem is None else "failed"
            row.version, row.problem = one.version, one.problem
        job_states.move(job, "queued", status)
        name = f"task {one.task.task_id}"
        rows.append(
            {
                "job_id": job.id,
                "position": position,
                "external_id": name,
                "file_name": one.task.address[:1024] or name,
                "image_digest": one.task.image_digest,
                "status": status,
                "error": one.problem,
                "attempts": 1,
                "kills": 0,
                "finish_seq": job.event_seq,
            }
        )
        if one.problem is not None:
            events.item_failed(job, position, name, one.problem)
    items.add_items(session, rows)
    events.tick(job)
