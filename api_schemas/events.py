"""Events of a job: the documents that `GET /v1/jobs/{id}/events` sends as `data`.

A client that polls the job and its items learns the same facts; events only bring them sooner.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from api_schemas.jobs import ItemCounts
from api_schemas.problems import Problem
from api_schemas.training import TrainingProgress

EventType = Literal[
    "job.snapshot",
    "job.status",
    "job.progress",
    "stage.status",
    "item.succeeded",
    "item.failed",
    "job.done",
]
EVENT_TYPES: Final[tuple[EventType, ...]] = (
    "job.snapshot",
    "job.status",
    "job.progress",
    "stage.status",
    "item.succeeded",
    "item.failed",
    "job.done",
)


class JobFacts(BaseModel):
    """`job.status` and `job.progress`: how the job stood at that moment."""

    job: str
    status: str
    step: str
    fraction: float
    counts: ItemCounts
    training: TrainingProgress | None = Field(None, description="Of a `train` job")


class JobEnded(JobFacts):
    """`job.done`, the last event of a job. Never both `result` and `error`."""

    result: dict[str, Any] | None = None
    error: Problem | None = None


class StepEvent(BaseModel):
    """`stage.status`: a step of the job began or is over."""

    job: str
    step: str
    status: Literal["running", "done", "stopped"]


class ItemSucceeded(BaseModel):
    """`item.succeeded`: the label of one file is there."""

    job: str
    item: str
    position: int
    external_id: str
    label_id: str | None = None
    quality: float | None = None


class ItemFailed(BaseModel):
    """`item.failed`: one file cannot be labelled, and why."""

    job: str
    item: str
    position: int
    external_id: str
    problem: Problem
