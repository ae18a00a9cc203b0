"""What all jobs have in common: their times, their failure policy, who made them, the pipeline."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.jobs import JobCreateBase
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import FieldProblem, ValidationProblem
from domain import pipelines, webhooks
from storage.catalog.engine import db_now

MAX_FUTURE: Final = timedelta(days=3660)


def common_fields(
    session: Session, request: JobCreateBase, created_by: str, schedule_id: str | None = None
) -> dict[str, Any]:
    """Return the arguments of `domain.jobs.new_job_row` that any job has.

    Raises:
        ValidationProblem: times that no job can keep.
        NotFound: no webhook endpoint has that name.
    """
    now = session.scalar(select(db_now())) or 0.0
    schedule_at = _seconds(request.schedule_at)
    deadline_at = _seconds(request.deadline_at)
    if schedule_at is not None and schedule_at <= now:
        schedule_at = None
    if deadline_at is not None and deadline_at <= now:
        raise _wrong("deadline_at", "lies in the past; leave it out or give a later time")
    if deadline_at is not None and schedule_at is not None and deadline_at <= schedule_at:
        raise _wrong("deadline_at", "must be later than schedule_at")
    for name, value in (("schedule_at", schedule_at), ("deadline_at", deadline_at)):
        if value is not None and value > now + MAX_FUTURE.total_seconds():
            raise _wrong(name, f"is more than {MAX_FUTURE.days} days ahead; give an earlier time")
    return {
        "priority": request.priority,
        "failure_policy": request.failure_policy.model_dump(),
        "metadata": request.metadata,
        "schedule_at": schedule_at,
        "deadline_at": deadline_at,
        "created_by": created_by,
        "schedule_id": schedule_id,
        "webhook": webhooks.job_target(session, request.webhook),
    }


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _wrong(name: str, detail: str) -> ValidationProblem:
    return ValidationProblem(
        f"{name} {detail}.", errors=[FieldProblem(pointer=f"/{name}", detail=detail)]
    )


def resolve_pipeline(
    session: Session, asked: PipelineConfig | str
) -> tuple[PipelineConfig, str | None]:
    """Return the configuration that a job asks for, and its `name@version` if it named one.

    Raises:
        NotFound: no pipeline has that name or version.
    """
    if isinstance(asked, PipelineConfig):
        return asked, None
    return pipelines.resolve(session, asked)
