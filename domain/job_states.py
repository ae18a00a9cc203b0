"""What may happen to a job: counts, the end, cancelling and the failure policy.

All functions work on a job row that the caller has locked (`storage.catalog.jobs.lock_job`). Only
this module changes `status` and `phase` of a job, so that each change has its event.

Phases of a job, each entered once: ``plan`` (write the items) → ``pilot`` (sample confidences, if
the selection needs quantiles) → ``label`` (pass 1) → ``fit`` → ``finish`` (the join and pass 2 of a
job-wide correction) → ``train`` (a training) → ``final`` (merge the results of an evaluation) →
``done``.
"""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from api_schemas.problems import (
    DeadlineExceeded,
    NoUsableImage,
    ProblemError,
    StateConflict,
    TooManyFailures,
)
from domain import events, webhook_outbox
from storage.catalog import chunks, image_sets, items, models
from storage.catalog.engine import db_now
from storage.catalog.jobs import COUNTS
from storage.catalog.tables import JobRow

CANCEL_BATCH: Final = 500
ITEM_PHASES: Final = ("pilot", "label", "finish", "train")  # over as soon as no item is open


def is_done(job: JobRow) -> bool:
    return job.status in DONE_STATUSES


def move(job: JobRow, source: str, target: str, n: int = 1) -> None:
    """Move `n` items of the counts from one status to another.

    Raises:
        ValueError: a count would become negative (a bug of ours; nothing is written).
    """
    if source not in COUNTS or target not in COUNTS:
        raise ValueError(f"unknown item status {source!r} or {target!r}")
    left = getattr(job, source) - n
    if left < 0:
        raise ValueError(f"job {job.id}: {source} would become {left}")
    setattr(job, source, left)
    setattr(job, target, getattr(job, target) + n)
    events.tick(job)


def count_stage_failure(job: JobRow, stage: str) -> None:
    job.stage_failed = {**job.stage_failed, stage: job.stage_failed.get(stage, 0) + 1}


def set_status(job: JobRow, status: str) -> None:
    """Change the status; does nothing if the job has it already."""
    if job.status != status:
        job.status = status
        events.status_changed(job)


def enter(session: Session, job: JobRow, phase: str) -> None:
    """Enter a phase; the first working phase starts the clock."""
    _leave_phase(job, phase, "done")
    events.step_changed(job, phase, "running")
    begins = False
    if job.started_at is None:
        job.started_at = session.scalar(select(db_now()))
        begins = True
    set_status(job, "finalizing" if phase == "final" else "running")
    if begins:
        webhook_outbox.job_changed(job, "job.started")


def _leave_phase(job: JobRow, phase: str, how: events.StepStatus) -> None:
    """Change the phase; how the old one went is told."""
    old, job.phase = job.phase, phase
    events.step_changed(job, old, how)


def apply_failure_policy(job: JobRow) -> None:
    """Stop the job when too many of its images failed."""
    policy = job.failure_policy
    if job.status == "cancelling" or is_done(job) or job.failed < policy["min_failed_images"]:
        return
    if job.failed / max(1, job.total - job.skipped) > policy["max_failed_fraction"]:
        fail_job(
            job,
            TooManyFailures(
                f"{job.failed} of {job.total} images failed. Finished labels stay readable; see "
                "the items with status=failed for the reasons, or raise "
                "failure_policy.max_failed_fraction."
            ),
        )


def fail_job(job: JobRow, error: ProblemError) -> None:
    """End a job because of something that concerns all of it; items still open are cancelled."""
    job.error = error.to_json()
    set_status(job, "cancelling")


def cancel_some(session: Session, job: JobRow) -> None:
    """Cancel a batch of the items that nobody works on; call until `settle` ends the job."""
    chunks.drop_unclaimed(session, job.id)
    unwritten = job.total - job.planned
    if unwritten:
        job.planned = job.total
        move(job, "queued", "cancelled", unwritten)
    moved = items.cancel_queued(session, job.id, CANCEL_BATCH)
    if moved:
        move(job, "queued", "cancelled", moved)


def settle(session: Session, job: JobRow) -> None:
    """Give the job its next phase or its final status if no item of it is open."""
    if is_done(job) or job.queued or job.running:
        return
    if job.status == "cancelling":
        _end(session, job, _status_of_stopped(job))
    elif job.phase in (*ITEM_PHASES, "final") and not job.succeeded:
        job.error = NoUsableImage(
            "No image of the job could be used. The items say why, one by one."
        ).to_json()
        _end(session, job, "failed")
    elif job.phase in ITEM_PHASES and job.type == "evaluate":
        enter(session, job, "final")
    elif job.phase in ITEM_PHASES:
        complete(session, job, job.result)


def _status_of_stopped(job: JobRow) -> str:
    if not job.error:
        return "cancelled"
    return "expired" if job.error["code"] == DeadlineExceeded.code else "failed"


def complete(session: Session, job: JobRow, result: dict[str, Any] | None) -> None:
    """End a job whose items are all through."""
    job.result = result
    _end(session, job, "partial" if job.failed or job.skipped else "succeeded")


def _end(session: Session, job: JobRow, status: str) -> None:
    if job.error:
        job.result = None  # never both
    job.finished_at = session.scalar(select(db_now()))
    _leave_phase(job, "done", "done" if status in ("succeeded", "partial") else "stopped")
    if job.type == "validate":
        models.reject_undecided(session, job.model_version_id, job.error)
    set_status(job, status)
    if job.type == "ingest" and job.image_set_id is not None:
        _end_image_set(session, job, job.image_set_id)
    if "integration" in job.params:
        from domain import integration_steps  # which ends and starts jobs, and so needs this module

        integration_steps.go_on(session, job)
    events.ended(job)
    webhook_outbox.job_changed(job, webhook_outbox.END_EVENTS[status])
    if status in ("succeeded", "partial"):
        webhook_outbox.labels_wait(session, job)


def _end_image_set(session: Session, job: JobRow, image_set_id: str) -> None:
    """Close the set that an ingest job filled, with the job: it can be used, or says why not."""
    if job.status in ("succeeded", "partial"):
        image_sets.make_ready(session, image_set_id)
        webhook_outbox.image_set_ready(session, image_set_id)
        return
    ended = StateConflict(
        f"Job '{job.id}' that filled the set was {job.status} before its end. Ask for the images "
        "again: POST /v1/image-sets."
    )
    image_sets.make_failed(session, image_set_id, job.error or ended.to_json())
