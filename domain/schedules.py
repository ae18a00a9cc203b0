"""Use-cases of schedules: create and change them, and fire what is due.

A tick is a row that is unique per schedule and due time, and is inserted in the transaction that
creates its job: however many schedulers look, and wherever one of them dies, a due time fires once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.jobs import JobCreate
from api_schemas.problems import (
    DueTimeMissed,
    NotFound,
    ProblemError,
    StateConflict,
    ValidationProblem,
)
from api_schemas.schedules import ScheduleCreate, ScheduleUpdate
from domain import cron
from domain.job_creation import AnyJobCreate, create_job
from storage.catalog import schedules
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import JobRow, ScheduleRow

UPCOMING: Final = 3
PROMPT_SECONDS: Final = 60.0  # a due time that is no older is not late
MAX_COUNTED: Final = 1000
MAX_FIRED: Final = 100
NO_LIMIT: Final = 2**62
Admit = Callable[[Session, JobRow], None]
_JOB_BODY: Final[TypeAdapter[AnyJobCreate]] = TypeAdapter(JobCreate)


def _always(_session: Session, _job: JobRow) -> None:
    return


@dataclass(frozen=True)
class Fired:
    """What became of a due time."""

    schedule_id: str
    due_at: float
    outcome: str
    job_id: str | None = None


def get_schedule(session: Session, schedule_id: str, *, lock: bool = False) -> ScheduleRow:
    """Return a schedule.

    Raises:
        NotFound: with what to do.
    """
    look = schedules.lock_schedule if lock else schedules.get_schedule
    row = look(session, schedule_id)
    if row is None:
        raise NotFound(f"There is no schedule '{schedule_id}'. List them with GET /v1/schedules.")
    return row


def _now(session: Session) -> float:
    return session.scalar(select(db_now())) or 0.0


def create(session: Session, request: ScheduleCreate, created_by: str) -> ScheduleRow:
    """Store a schedule whose job could be created right now.

    Raises:
        ProblemError: the cron expression, the zone or the job is not valid.
    """
    now = _now(session)
    cron.check(request.cron, request.time_zone, now)
    _check_job(session, request.job, created_by)
    row = ScheduleRow(
        id=new_id("sch"),
        name=request.name,
        cron=request.cron,
        time_zone=request.time_zone,
        job=request.job.model_dump(mode="json", exclude_unset=True),
        overlap=request.overlap,
        catch_up_seconds=request.catch_up_seconds,
        paused=request.paused,
        created_at=now,
        created_by=created_by,
    )
    _set_next(row, now)
    schedules.add_schedule(session, row)
    return row


def change(session: Session, schedule_id: str, request: ScheduleUpdate) -> ScheduleRow:
    """Change what the request names; due times of before do not come back.

    Raises:
        ProblemError: unknown schedule, or a value that is not valid.
    """
    row = get_schedule(session, schedule_id, lock=True)
    now = _now(session)
    given = request.model_dump(exclude_none=True, exclude={"job"})
    cron.check(given.get("cron", row.cron), given.get("time_zone", row.time_zone), now)
    if request.job is not None:
        _check_job(session, request.job, row.created_by)
        row.job = request.job.model_dump(mode="json", exclude_unset=True)
    for name, value in given.items():
        setattr(row, name, value)
    if given.keys() & {"cron", "time_zone", "paused"}:
        _set_next(row, now)
    session.flush()
    return row


def _set_next(row: ScheduleRow, now: float) -> None:
    row.next_due_at = None if row.paused else cron.next_due(row.cron, row.time_zone, now)


def _check_job(session: Session, job: AnyJobCreate, created_by: str) -> None:
    """Create the job and take it back, to see all that could be wrong with it today."""
    trial = session.begin_nested()
    try:
        create_job(session, job, max_queued=NO_LIMIT, created_by=created_by)
    finally:
        trial.rollback()


def upcoming(row: ScheduleRow) -> list[float]:
    """Return the next due times; none of a schedule that is paused."""
    if row.next_due_at is None:
        return []
    later = cron.due_times(row.cron, row.time_zone, row.next_due_at)
    return [row.next_due_at, *islice(later, UPCOMING - 1)]


def run_now(session: Session, schedule_id: str, max_queued: int, created_by: str) -> JobRow:
    """Start the job of a schedule at once, though it may be paused or busy.

    Raises:
        ProblemError: unknown schedule, or its job cannot be created.
    """
    row = get_schedule(session, schedule_id, lock=True)
    job = create_job(
        session,
        _body_of(row),
        max_queued=max_queued,
        created_by=created_by,
        schedule_id=row.id,
    )
    now = _now(session)
    schedules.add_tick(session, row.id, now, "fired")
    schedules.change_tick(session, row.id, now, {"job_id": job.id})
    return job


def _body_of(row: ScheduleRow) -> AnyJobCreate:
    try:
        return _JOB_BODY.validate_python(row.job)
    except ValidationError as error:
        what = "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors()[:3])
        raise ValidationProblem(
            f"The job of this schedule is not valid any more: {what}. PATCH the schedule."
        ) from error


def fire_due(
    catalog: Catalog, max_queued: int, now: float | None = None, admit: Admit = _always
) -> list[Fired]:
    """Fire the schedules that are due; a job that cannot be created is noted on its tick.

    Args:
        max_queued: unfinished images beyond which no job is created.
        now: by default the database's clock.
        admit: refuses a new job by a `ProblemError`, as quotas do.
    """
    with catalog.read() as session:
        due = schedules.due_schedules(session, now, MAX_FIRED)
    fired: list[Fired] = []
    for schedule_id in due:
        with catalog.write() as session:
            at = _now(session) if now is None else now
            fired += _fire(session, schedule_id, at, max_queued, admit)
    return fired


def _fire(
    session: Session, schedule_id: str, now: float, max_queued: int, admit: Admit
) -> list[Fired]:
    row = schedules.lock_schedule(session, schedule_id)
    if row is None or row.paused or row.next_due_at is None or row.next_due_at > now:
        return []  # another scheduler was faster, or somebody changed it
    first = row.next_due_at
    try:
        due_at = _latest(row, first, now)
        missed = _missed(row, first, now if due_at is None else due_at)
        _set_next(row, now)
    except (ValueError, LookupError) as error:  # a zone that the data base does not have any more
        row.paused, row.next_due_at = True, None
        problem = ValidationProblem(f"The due times are unknown ({error}); it was paused.")
        schedules.add_tick(session, row.id, first, "failed", problem.to_json())
        return [Fired(row.id, first, "failed")]
    fired = []
    if missed is not None and schedules.add_tick(
        session, row.id, first, "missed", missed.to_json()
    ):
        fired.append(Fired(row.id, first, "missed"))
    if due_at is not None and schedules.add_tick(session, row.id, due_at, "fired"):
        values = _start(session, row, max_queued, admit)
        schedules.change_tick(session, row.id, due_at, values)
        fired.append(Fired(row.id, due_at, values["outcome"], values.get("job_id")))
    return fired


def _latest(row: ScheduleRow, first: float, now: float) -> float | None:
    """Return the latest due time up to `now`, unless it is too old to be made up for."""
    oldest = now - max(row.catch_up_seconds, PROMPT_SECONDS)
    latest = first
    for due_at in cron.due_times(row.cron, row.time_zone, max(first, oldest)):
        if due_at > now:
            break
        latest = due_at
    return latest if latest >= oldest else None


def _missed(row: ScheduleRow, first: float, until: float) -> DueTimeMissed | None:
    """Return what to tell about the due times from `first` on and before `until`, if any."""
    if first >= until:
        return None
    later = cron.due_times(row.cron, row.time_zone, first)
    count = 1 + sum(1 for _ in islice(takewhile(lambda t: t < until, later), MAX_COUNTED))
    times = f"more than {MAX_COUNTED}" if count > MAX_COUNTED else str(count)
    return DueTimeMissed(
        f"The service was not running, or not in time, at {times} due time(s) between "
        f"{_text(first)} and {_text(until)}. See catch_up_seconds; POST …:run starts the job now."
    )


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _start(session: Session, row: ScheduleRow, max_queued: int, admit: Admit) -> dict[str, Any]:
    """Create the job of a due time; returns the columns of its tick."""
    busy = schedules.unfinished_job(session, row.id) if row.overlap == "skip" else None
    if busy is not None:
        problem: ProblemError = StateConflict(
            f"Job '{busy}' of this schedule was not done yet. With overlap 'queue' a job is "
            "created nevertheless and begins when the earlier ones are done."
        )
        return {"outcome": "skipped", "problem": problem.to_json()}
    attempt = session.begin_nested()
    try:
        job = create_job(
            session,
            _body_of(row),
            max_queued=max_queued,
            created_by=row.created_by,
            schedule_id=row.id,
        )
        admit(session, job)
    except ProblemError as error:
        problem = error
    except SQLAlchemyError:
        raise
    except Exception as error:  # whatever it is, the schedule and all others go on
        problem = ProblemError(f"The job could not be created ({type(error).__name__}).")
    else:
        attempt.commit()
        return {"outcome": "fired", "job_id": job.id}
    attempt.rollback()
    return {"outcome": "failed", "problem": problem.to_json()}
