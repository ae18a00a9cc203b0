"""Schedules: `/v1/schedules`."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from api_schemas.jobs import Job
from api_schemas.schedules import (
    Schedule,
    ScheduleCreate,
    SchedulePage,
    ScheduleTick,
    ScheduleTickPage,
    ScheduleUpdate,
)
from selvage_client.calls import Call, Listing, Page, delete, get, listing, post, segment
from selvage_client.errors import invalid_fields
from selvage_client.requests.jobs import job_json


def create(fields: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Schedule]:
    """POST /v1/schedules. Entries of `fields` that are None are left to the service."""
    content = _content(ScheduleCreate, fields)
    return post("/v1/schedules", Schedule.model_validate_json, content, idempotency_key)


def schedules() -> Listing[Schedule]:
    """GET /v1/schedules."""

    def parse(content: bytes) -> Page[Schedule]:
        page = SchedulePage.model_validate_json(content)
        return Page(page.schedules, page.next_page_token)

    return listing("/v1/schedules", parse)


def schedule(schedule_id: str) -> Call[Schedule]:
    """GET /v1/schedules/{id}."""
    return get(_path(schedule_id), Schedule.model_validate_json)


def change(schedule_id: str, fields: Mapping[str, Any]) -> Call[Schedule]:
    """PATCH /v1/schedules/{id}. Entries of `fields` that are None stay as they are."""
    content = _content(ScheduleUpdate, fields)
    return Call("PATCH", _path(schedule_id), Schedule.model_validate_json, json=content)


def delete_schedule(schedule_id: str) -> Call[None]:
    """DELETE /v1/schedules/{id}."""
    return delete(_path(schedule_id))


def pause(schedule_id: str) -> Call[Schedule]:
    """POST /v1/schedules/{id}:pause."""
    return post(f"{_path(schedule_id)}:pause", Schedule.model_validate_json, None, None)


def resume(schedule_id: str) -> Call[Schedule]:
    """POST /v1/schedules/{id}:resume."""
    return post(f"{_path(schedule_id)}:resume", Schedule.model_validate_json, None, None)


def run(schedule_id: str, idempotency_key: str | None = None) -> Call[Job]:
    """POST /v1/schedules/{id}:run."""
    return post(f"{_path(schedule_id)}:run", Job.model_validate_json, None, idempotency_key)


def ticks(schedule_id: str) -> Listing[ScheduleTick]:
    """GET /v1/schedules/{id}/ticks."""

    def parse(content: bytes) -> Page[ScheduleTick]:
        page = ScheduleTickPage.model_validate_json(content)
        return Page(page.ticks, page.next_page_token)

    return listing(f"{_path(schedule_id)}/ticks", parse)


def _content(kind: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    job = given.get("job")
    if isinstance(job, BaseModel):
        job = job.model_dump(mode="json", exclude_unset=True)
    if isinstance(job, Mapping):
        given["job"] = job_json(job)
    try:
        request = kind.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("schedule", error) from error
    return request.model_dump(mode="json", exclude_unset=True)


def _path(schedule_id: str) -> str:
    return f"/v1/schedules/{segment(schedule_id)}"
