"""What is told about a job while it goes on, written in the transaction that changes it.

`seq` is the job's `event_seq`, which only grows while the job's row is locked. Progress is not
written at all: whoever streams reads it from the job's row, so that no number of images makes a
storm of rows. The last thing that a transaction counts must leave `event_seq` above the numbers of
its items (`tick`), or a reader could take the counts for known.
"""

from typing import Any, Literal

from sqlalchemy.orm import Session, object_session

from api_schemas.events import ItemFailed, JobEnded, JobFacts, StepEvent
from api_schemas.jobs import ItemCounts
from storage.catalog import events
from storage.catalog.jobs import COUNTS
from storage.catalog.tables import JobRow

StepStatus = Literal["running", "done", "stopped"]


def fraction_of(job: JobRow) -> float:
    """Return the share of a job's items that are through."""
    if not job.total:
        return 1.0
    return (job.total - job.queued - job.running) / job.total


def facts_of(job: JobRow) -> JobFacts:
    """Return how a job stands, as its events tell it."""
    return JobFacts(
        job=job.id,
        status=job.status,
        step=job.phase,
        fraction=fraction_of(job),
        counts=ItemCounts(total=job.total, **{name: getattr(job, name) for name in COUNTS}),
        training=job.training,
    )


def tick(job: JobRow) -> None:
    """Say that the job has changed, without an event of its own."""
    job.event_seq += 1


def status_changed(job: JobRow) -> None:
    """`job.status`, with the counts of this moment."""
    _record(job, "job.status", facts_of(job).model_dump(mode="json"))


def step_changed(job: JobRow, step: str, status: StepStatus) -> None:
    """`stage.status`."""
    event = StepEvent(job=job.id, step=step, status=status)
    _record(job, "stage.status", event.model_dump(mode="json"))


def ended(job: JobRow) -> None:
    """`job.done`, the last event of a job."""
    _record(job, "job.done", end_of(job))


def end_of(job: JobRow) -> dict[str, Any]:
    """Return the data of `job.done`."""
    event = JobEnded(**facts_of(job).model_dump(), result=job.result, error=job.error)
    return event.model_dump(mode="json", exclude_none=True)


def item_failed(job: JobRow, position: int, external_id: str, problem: dict[str, Any]) -> None:
    """`item.failed`, under the number that the item got when it was counted last."""
    event = ItemFailed(
        job=job.id,
        item=f"{job.id}.{position}",
        position=position,
        external_id=external_id,
        problem=problem,
    )
    data = event.model_dump(mode="json", exclude_none=True)
    events.add_event(_session_of(job), job.id, job.event_seq, "item.failed", data)


def _record(job: JobRow, event_type: str, data: dict[str, Any]) -> None:
    job.event_seq += 1
    events.add_event(_session_of(job), job.id, job.event_seq, event_type, data)


def _session_of(job: JobRow) -> Session:
    session = object_session(job)
    if session is None:
        raise ValueError(f"job {job.id} is not part of a transaction")
    return session
