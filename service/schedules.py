"""Schedules: jobs that are started by a cron expression."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response

from api_schemas.jobs import Job
from api_schemas.problems import Problem
from api_schemas.schedules import (
    Schedule,
    ScheduleCreate,
    SchedulePage,
    ScheduleTick,
    ScheduleTickPage,
    ScheduleUpdate,
)
from domain import schedules as use_cases
from service import openapi, rendering
from service.accepted import accepted
from service.admission import admit, admit_type
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_seconds, decode_token, encode_token
from service.principals import Caller
from service.state import ServiceState, State
from service.waiting import WaitingRoute
from storage.catalog import schedules
from storage.catalog.tables import ScheduleRow, ScheduleTickRow

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], route_class=WaitingRoute)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _rendered(row: ScheduleRow) -> Schedule:
    base = f"/v1/schedules/{row.id}"
    return Schedule(
        id=row.id,
        name=row.name,
        cron=row.cron,
        time_zone=row.time_zone,
        job=row.job,
        overlap=row.overlap,
        catch_up_seconds=row.catch_up_seconds,
        paused=row.paused,
        upcoming=[_time(t) for t in use_cases.upcoming(row)],
        created_at=_time(row.created_at),
        created_by=row.created_by,
        links={
            "self": base,
            "ticks": f"{base}/ticks",
            "jobs": f"/v1/jobs?filter=schedule={row.id}",
            "pause": f"{base}:pause",
            "resume": f"{base}:resume",
            "run": f"{base}:run",
        },
    )


def _tick(row: ScheduleTickRow) -> ScheduleTick:
    return ScheduleTick(
        due_at=_time(row.due_at),
        outcome=row.outcome,
        job=row.job_id,
        problem=Problem.model_validate(row.problem) if row.problem else None,
        created_at=_time(row.created_at),
    )


@router.post("", status_code=201, response_model=Schedule, summary="Start a job by the clock")
def create_schedule(
    request: Annotated[ScheduleCreate, Body(openapi_examples=openapi.SCHEDULE_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Post a job's body at every due time. The body is checked now, and again each time."""
    fingerprint = fingerprint_of("POST", "/v1/schedules", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    admit_type(caller, request.job.type)
    with ticket, state.catalog.write() as session:
        row = use_cases.create(session, request, caller.id)
        body = _rendered(row).model_dump_json()
        location = f"/v1/schedules/{row.id}"
        ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("", summary="List schedules, newest first")
def list_schedules(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> SchedulePage:
    with state.catalog.read() as session:
        rows = schedules.list_schedules(session, decode_token(page_token), page_size + 1)
    more = len(rows) > page_size
    return SchedulePage(
        schedules=[_rendered(row) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/{schedule_id}", summary="One schedule, with its next due times")
def get_schedule(schedule_id: str, state: State) -> Schedule:
    with state.catalog.read() as session:
        return _rendered(use_cases.get_schedule(session, schedule_id))


@router.patch("/{schedule_id}", summary="Change a schedule")
def change_schedule(
    schedule_id: str,
    request: Annotated[ScheduleUpdate, Body(openapi_examples=openapi.SCHEDULE_CHANGE_EXAMPLES)],
    state: State,
    caller: Caller,
) -> Schedule:
    if request.job is not None:
        admit_type(caller, request.job.type)
    return _change(state, schedule_id, request)


def _change(state: ServiceState, schedule_id: str, request: ScheduleUpdate) -> Schedule:
    with state.catalog.write() as session:
        return _rendered(use_cases.change(session, schedule_id, request))


@router.delete("/{schedule_id}", status_code=204, summary="Remove a schedule; its jobs stay")
def delete_schedule(schedule_id: str, state: State, caller: Caller) -> None:
    with state.catalog.write() as session:
        row = use_cases.get_schedule(session, schedule_id, lock=True)
        caller.require_ownership(row.created_by)
        schedules.delete_schedule(session, row)


@router.post("/{schedule_id}:pause", summary="Let due times pass")
def pause_schedule(schedule_id: str, state: State) -> Schedule:
    """Due times that pass meanwhile are not made up for. Asking twice does no harm."""
    return _change(state, schedule_id, ScheduleUpdate(paused=True))


@router.post("/{schedule_id}:resume", summary="Go on with the next due time")
def resume_schedule(schedule_id: str, state: State) -> Schedule:
    return _change(state, schedule_id, ScheduleUpdate(paused=False))


@router.post(
    "/{schedule_id}:run", status_code=202, response_model=Job, summary="Start the job now as well"
)
def run_schedule(
    schedule_id: str, state: State, caller: Caller, idempotency_key: IdempotencyKey = None
) -> Response:
    """Start the job at once, though the schedule may be paused or an earlier job not done."""
    path = f"/v1/schedules/{schedule_id}:run"
    ticket = Ticket(state, idempotency_key, fingerprint_of("POST", path, None))
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        limit = state.settings.max_queued_images
        job = use_cases.run_now(session, schedule_id, limit, caller.id)
        admit(session, state, caller, job)
        body = rendering.job(session, job).model_dump_json()
        location = f"/v1/jobs/{job.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)


@router.get("/{schedule_id}/ticks", summary="What became of the due times, latest first")
def list_ticks(
    schedule_id: str, state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> ScheduleTickPage:
    before = decode_seconds(page_token)
    with state.catalog.read() as session:
        use_cases.get_schedule(session, schedule_id)
        rows = schedules.list_ticks(session, schedule_id, before, page_size + 1)
    more = len(rows) > page_size
    return ScheduleTickPage(
        ticks=[_tick(row) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].due_at) if more else None,
    )
