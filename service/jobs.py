"""Jobs: create, watch, cancel, retry, and read the results."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response, StreamingResponse

from api_schemas.jobs import (
    ItemStatus,
    Job,
    JobCreate,
    JobItemPage,
    JobPage,
    JobStatus,
    JobType,
    ResultLine,
    RetryRequest,
)
from domain import jobs as use_cases
from domain.job_creation import create_job as create_row
from service import openapi, rendering
from service.accepted import accepted
from service.admission import admit
from service.etags import IfNoneMatch, is_current, not_modified
from service.filters import ITEM_FIELDS, JOB_FIELDS, parse_filter, parse_order
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import (
    PageSize,
    PageToken,
    decode_place,
    decode_position,
    encode_place,
    encode_token,
)
from service.principals import Caller
from service.state import ServiceState, State
from service.waiting import WaitingRoute
from storage.catalog import items, jobs, labels
from storage.catalog.filtering import (
    ITEM_CONDITIONS,
    JOB_CONDITIONS,
    Comparison,
    conditions_of,
)
from storage.catalog.tables import JobItemRow, LabelRow

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=WaitingRoute)
RESULT_PAGE_ROWS = 500


@router.post("/jobs", status_code=202, response_model=Job, summary="Start a job")
def create_job(
    request: Annotated[JobCreate, Body(openapi_examples=openapi.JOB_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Start a job on an image set that is uploaded already. Always 202, never the result."""
    fingerprint = fingerprint_of("POST", "/v1/jobs", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        row = create_row(
            session,
            request,
            max_queued=state.settings.max_queued_images,
            created_by=caller.id,
        )
        admit(session, state, caller, row)
        body = rendering.job(session, row).model_dump_json()
        location = f"/v1/jobs/{row.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)


@router.get("/jobs", summary="List jobs, newest first")
def list_jobs(
    state: State,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state")] = None,
    type: Annotated[JobType | None, Query(description="Only jobs of this type")] = None,  # noqa: A002
    filter: Annotated[str | None, Query(**openapi.JOB_FILTER)] = None,  # noqa: A002
    order_by: Annotated[
        str | None,
        Query(
            max_length=40,
            description="`created_at`, `priority` or `finished_at`, and `desc` after it for the "
            "largest first; jobs without an end come last",
            examples=["created_at desc"],
        ),
    ] = None,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> JobPage:
    """Jobs that meet every comparison of `filter`; the page token is good for this list alone."""
    comparisons = parse_filter(filter, JOB_FIELDS)
    for field, value in (("status", status), ("type", type)):
        if value is not None:
            comparisons.append(Comparison(field, "=", value))
    asked = parse_order(order_by, ("created_at", "priority", "finished_at"))
    order = jobs.JobOrder(asked.field, asked.descending) if asked else None
    listing = f"{comparisons} {order}"
    with state.catalog.read() as session:
        rows = jobs.list_jobs(
            session,
            after=decode_place(page_token, listing),
            limit=page_size + 1,
            where=conditions_of(comparisons, JOB_CONDITIONS),
            order=order,
        )
        found = [rendering.job(session, row) for row in rows[:page_size]]
    token = None
    if len(rows) > page_size:
        last = rows[page_size - 1]
        token = encode_place(listing, order.value_of(last) if order else None, last.id)
    return JobPage(jobs=found, next_page_token=token)


@router.get(
    "/jobs/{job_id}",
    response_model=Job,
    summary="How a job stands",
    responses={304: {"description": "Nothing changed since the ETag you sent"}},
)
def get_job(
    job_id: str,
    state: State,
    if_none_match: IfNoneMatch = None,
) -> Response:
    with state.catalog.read() as session:
        row = use_cases.get_job(session, job_id)
        etag = f'"{row.id}-{row.event_seq}"'
        job = rendering.job(session, row)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not job.done:
        headers["Retry-After"] = "1"
    if is_current(if_none_match, etag):
        return not_modified(headers)
    return Response(job.model_dump_json(), 200, headers, media_type="application/json")


@router.get("/jobs/{job_id}/items", summary="Every image of a job")
def list_items(
    job_id: str,
    state: State,
    status: Annotated[ItemStatus | None, Query(description="Only these")] = None,
    filter: Annotated[str | None, Query(**openapi.ITEM_FILTER)] = None,  # noqa: A002
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> JobItemPage:
    after = decode_position(page_token)
    where = conditions_of(parse_filter(filter, ITEM_FIELDS), ITEM_CONDITIONS)
    with state.catalog.read() as session:
        use_cases.get_job(session, job_id)
        rows = items.list_items(
            session, job_id, after_position=after, limit=page_size + 1, status=status, where=where
        )
    page = rows[:page_size]
    more = len(rows) > page_size
    return JobItemPage(
        items=[rendering.job_item(row) for row in page],
        next_page_token=encode_token(page[-1].position) if more else None,
    )


@router.get(
    "/jobs/{job_id}/results",
    summary="Results so far, one JSON object a line",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {}}, "description": "`ResultLine`s"}},
)
def get_results(job_id: str, state: State) -> StreamingResponse:
    with state.catalog.read() as session:
        use_cases.get_job(session, job_id)
    return StreamingResponse(_result_lines(state, job_id), media_type="application/jsonl")


def _result_lines(state: ServiceState, job_id: str) -> Iterator[str]:
    after = -1
    while True:
        with state.catalog.read() as session:
            rows = items.list_items(session, job_id, after_position=after, limit=RESULT_PAGE_ROWS)
            found = labels.get_labels(session, [row.label_id for row in rows if row.label_id])
        if not rows:
            return
        after = rows[-1].position
        for row in rows:
            line = _result_line(row, found.get(row.label_id or ""))
            yield line.model_dump_json(exclude_none=True) + "\n"


def _result_line(row: JobItemRow, label: LabelRow | None) -> ResultLine:
    item = rendering.job_item(row)
    base = f"/v1/labels/{label.id}/artifacts" if label else None
    return ResultLine(
        external_id=item.external_id,
        file_name=item.file_name,
        status=item.status,
        label_id=item.label_id,
        quality=item.quality,
        coverage=label.coverage if label else None,
        label_url=f"{base}/label.png" if base else None,
        confidence_url=f"{base}/confidence.png" if base else None,
        regions_url=f"{base}/regions.json" if label and "regions.json" in label.artifacts else None,
        error=item.error,
    )


@router.post("/jobs/{job_id}:cancel", status_code=202, response_model=Job, summary="Stop a job")
def cancel_job(job_id: str, state: State) -> Response:
    """Ask a job to stop. Labels that are done stay; asking again, or too late, does no harm."""
    use_cases.cancel(state.catalog, job_id)
    state.queue.wake()
    with state.catalog.read() as session:
        row = use_cases.get_job(session, job_id)
        body = rendering.job(session, row).model_dump_json()
    return accepted(body, f"/v1/jobs/{job_id}")


@router.post(
    "/jobs/{job_id}:retry",
    status_code=202,
    response_model=Job,
    summary="Do again what failed, as a new job",
)
def retry_job(
    job_id: str,
    state: State,
    caller: Caller,
    request: Annotated[RetryRequest | None, Body(openapi_examples=openapi.RETRY_EXAMPLES)] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Create a new job for the same images with the fits of the old one; labels are reused."""
    request = request or RetryRequest()
    path = f"/v1/jobs/{job_id}:retry"
    fingerprint = fingerprint_of("POST", path, request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        limit = state.settings.max_queued_images
        row = use_cases.create_retry(session, job_id, request.only, limit, caller.id)
        admit(session, state, caller, row)
        body = rendering.job(session, row).model_dump_json()
        location = f"/v1/jobs/{row.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)
