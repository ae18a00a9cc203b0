"""Repair: what was lost is found in the catalog and done again."""

from typing import Final

from sqlalchemy.orm import Session

from domain import job_states, leases
from storage.catalog import chunks, devices, events, idempotency, jobs, workers
from storage.catalog.engine import Catalog

EVENT_BATCH: Final = 500


def take_back_expired(catalog: Catalog, max_kills: int) -> int:
    """Take back the chunks whose lease has run out; returns how many."""
    with catalog.read() as session:
        found = chunks.expired(session)
    return sum(leases.take_back(catalog, lease, max_kills) for lease in found)


def bury_worker(catalog: Catalog, worker_id: str, max_kills: int) -> int:
    """Take back at once what a worker held that is known to be dead, its devices too."""
    with catalog.write() as session:
        workers.remove_worker(session, worker_id)
        devices.release_all(session, worker_id)
        found = chunks.held_by(session, worker_id)
    return sum(leases.take_back(catalog, lease, max_kills) for lease in found)


def resend_unclaimed(catalog: Catalog, older_than_seconds: float) -> int:
    """Let chunks be sent again whose message was not answered in time (or was lost: 0)."""
    with catalog.write() as session:
        return chunks.unsend(session, older_than_seconds=older_than_seconds)


def continue_cancelling(catalog: Catalog, job_id: str) -> bool:
    """Cancel the next batch of items of a job, and end it when none is left.

    Returns whether there are more to cancel at once.
    """
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.status == "cancelling":
            job_states.cancel_some(session, job)
            job_states.settle(session, job)
        return job.status == "cancelling" and job.queued > 0


def forget_events(catalog: Catalog, older_than_seconds: float) -> int:
    """Forget events of jobs that are too old to be asked for; returns how many."""
    forgotten = 0
    while True:
        with catalog.write() as session:
            n = events.remove_old(session, older_than_seconds, EVENT_BATCH)
        forgotten += n
        if n < EVENT_BATCH:
            return forgotten


def expire(session: Session, *, worker_silent_seconds: float, idempotency_hours: float) -> None:
    """Forget workers that fell silent and answers that are too old."""
    workers.remove_silent_workers(session, worker_silent_seconds)
    idempotency.remove_old(session, idempotency_hours)
