"""Schedules: a job that is started again and again, and what became of each due time."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.jobs import JobCreate
from api_schemas.json_types import Truth
from api_schemas.problems import Problem

Overlap = Literal["skip", "queue"]
TickOutcome = Literal["fired", "skipped", "missed", "failed"]

ScheduleName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\u0000-\u001f\u007f]+$"),
    Field(description="Yours; need not be unique"),
]
CronExpression = Annotated[
    str,
    StringConstraints(min_length=9, max_length=128),
    Field(
        description="Minute, hour, day of the month, month, day of the week",
        examples=["30 2 * * *", "0 22 * * MON-FRI"],
    ),
]
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Field(description="IANA name", examples=["UTC", "Europe/Berlin"]),
]
OverlapField = Annotated[
    Overlap,
    Field(
        description="While an earlier job of the schedule goes on: `skip` the due time, or `queue` "
        "a job that begins when the earlier ones are done"
    ),
]
CatchUpSeconds = Annotated[
    float,
    Field(
        ge=0.0,
        le=7 * 86400.0,
        description="After a stop of the service, the latest missed due time is made up for if it "
        "is not older",
    ),
]


class _JobTemplate(BaseModel):
    """Checks of the body that every run posts."""

    model_config = ConfigDict(extra="forbid")

    job: JobCreate | None = None

    @model_validator(mode="after")
    def _no_fixed_times(self) -> Self:
        if self.job and (self.job.schedule_at or self.job.deadline_at):
            raise ValueError("job.schedule_at and job.deadline_at are of one run; leave them out")
        return self


class ScheduleCreate(_JobTemplate):
    """A body of POST /v1/jobs, and when to post it."""

    name: ScheduleName
    cron: CronExpression
    time_zone: TimeZone = "UTC"
    job: JobCreate
    overlap: OverlapField = "skip"
    catch_up_seconds: CatchUpSeconds = 3600.0
    paused: Truth = False


class ScheduleUpdate(_JobTemplate):
    """What is left out, or null, stays as it is."""

    name: ScheduleName | None = None
    cron: CronExpression | None = None
    time_zone: TimeZone | None = None
    overlap: OverlapField | None = None
    catch_up_seconds: CatchUpSeconds | None = None
    paused: Truth | None = None


class Schedule(BaseModel):
    """`upcoming` are the next due times; a paused schedule has none."""

    id: str
    name: str
    cron: str
    time_zone: str
    job: dict[str, Any]
    overlap: Overlap
    catch_up_seconds: float
    paused: bool
    upcoming: list[datetime]
    created_at: datetime
    created_by: str
    links: dict[str, str]


class SchedulePage(BaseModel):
    schedules: list[Schedule]
    next_page_token: str | None = None


class ScheduleTick(BaseModel):
    """A due time and what became of it; `missed` stands for several if `problem` says so."""

    due_at: datetime
    outcome: TickOutcome
    job: str | None = None
    problem: Problem | None = None
    created_at: datetime


class ScheduleTickPage(BaseModel):
    """Latest first."""

    ticks: list[ScheduleTick]
    next_page_token: str | None = None
