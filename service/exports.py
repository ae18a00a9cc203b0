"""Exports: labels in the format of a tool, as a zip or in a bucket."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.exports import (
    Export,
    ExportCreate,
    ExportFilters,
    ExportLoss,
    ExportOptions,
    ExportPage,
    ExportReport,
    ExportRequest,
    ExportSource,
)
from api_schemas.problems import ExportLossyRefused, FieldProblem, ValidationProblem
from domain import deletion, export_report, export_sources, jobs
from domain import exports as use_cases
from domain.export_sources import Resolved
from formats.exports.cityscapes_labels import label_named
from formats.exports.wire import losses_of
from service import downloads, openapi, rendering
from service.accepted import accepted
from service.admission import admit
from service.deletion import Force, check_owner
from service.downloads import Redirect, StoredFile
from service.etags import IfNoneMatch, is_current, not_modified
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.preferences import Prefer
from service.principals import Caller
from service.state import State
from storage.catalog import exports
from storage.catalog.tables import JobRow

router = APIRouter(prefix="/v1", tags=["exports"])


def rendered(session: Session, row: JobRow) -> Export:
    """Return the document of an export."""
    job = rendering.job(session, row)
    asked, result = row.params["export"], job.result or {}
    base = f"/v1/exports/{row.id}"
    links = {
        "self": base,
        "job": f"/v1/jobs/{row.id}",
        "items": f"/v1/jobs/{row.id}/items",
        "events": f"{base}/events",
        "cancel": f"{base}:cancel",
    }
    expires_at = row.params.get("expires_at") if job.result else None
    if expires_at is not None:
        links["download"] = f"{base}/file"
    destination = row.params.get("destination")
    return Export(
        id=row.id,
        format=asked["format"],
        status=job.status,
        done=job.done,
        source=ExportSource.model_validate(asked["source"]),
        filters=ExportFilters.model_validate(asked["filters"]),
        options=ExportOptions.model_validate(asked["options"]),
        destination={k: destination[k] for k in ("connection", "prefix")} if destination else None,
        strict=row.params["strict"],
        progress=job.progress,
        counts=job.counts,
        report=ExportReport.model_validate(result["report"]) if result else None,
        size_bytes=result.get("size_bytes"),
        sha256=result.get("sha256"),
        files=result.get("files"),
        expires_at=None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
        metadata=job.metadata,
        created_at=job.created_at,
        created_by=job.created_by,
        finished_at=job.finished_at,
        error=job.error,
        links=links,
    )


def _resolve(session: Session, request: ExportRequest) -> Resolved:
    """Return what an export works with; refuse what cannot be meant.

    Raises:
        ProblemError: see `export_sources.resolve`; classes that there are not.
    """
    resolved = export_sources.resolve(session, request.source)
    export_sources.check_classes(resolved.ontology, request.filters)
    _check_class_map(resolved, request)
    return resolved


def _check_class_map(resolved: Resolved, request: ExportRequest) -> None:
    names = {c["name"] for c in resolved.ontology["classes"]}
    errors = []
    for ours, theirs in request.options.class_map.items():
        if ours not in names:
            errors.append(f"the labels have no class '{ours}'")
        if label_named(theirs) is None:
            errors.append(f"Cityscapes has no label '{theirs}'")
    if errors:
        pointer = "/options/class_map"
        raise ValidationProblem(
            f"options.class_map does not fit: {errors[0]}.",
            errors=[FieldProblem(pointer=pointer, detail=detail) for detail in errors],
        )


def _losses(resolved: Resolved, request: ExportRequest) -> list[ExportLoss]:
    return losses_of(request, resolved.ontology, resolved.origin)


@router.post("/exports", status_code=202, response_model=Export, summary="Export labels")
def create_export(
    request: Annotated[ExportCreate, Body(openapi_examples=openapi.EXPORT_EXAMPLES)],
    state: State,
    caller: Caller,
    prefer: Prefer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Write labels in the format of a tool. Follow `links.events` or poll; then `links.download`.

    With `Prefer: handling=strict` nothing is exported that would lose something: 422 where that
    is known at once, else the export fails with the same problem.
    """
    if request.destination is not None:
        caller.require("admin")  # it writes with the credentials of a connection
    content = [request.model_dump(mode="json"), prefer.is_strict]
    ticket = Ticket(state, idempotency_key, fingerprint_of("POST", "/v1/exports", content))
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        resolved = _resolve(session, request)
        if prefer.is_strict:
            _refuse_losses(_losses(resolved, request))
        row = use_cases.create(
            session, request, resolved, strict=prefer.is_strict, created_by=caller.id
        )
        admit(session, state, caller, row)
        body = rendered(session, row).model_dump_json()
        location = f"/v1/exports/{row.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    answer = accepted(body, location)
    answer.headers.update(prefer.applied("handling") if prefer.is_strict else {})
    return answer


def _refuse_losses(losses: list[ExportLoss]) -> None:
    lost = [loss for loss in losses if loss.is_loss and not loss.may_happen]
    if lost:
        raise ExportLossyRefused(
            "The export would lose something, which `Prefer: handling=strict` does not allow; "
            "`errors` says what. Choose another format, or prefer handling=lenient.",
            errors=[FieldProblem(pointer=f"/{loss.code}", detail=loss.detail) for loss in lost],
        )


@router.post("/exports:validate", summary="What an export would hold and lose")
def validate_export(
    request: Annotated[ExportRequest, Body(openapi_examples=openapi.EXPORT_EXAMPLES)],
    state: State,
) -> ExportReport:
    """A dry run: nothing is written. Labels are counted, not looked at, so that losses which
    depend on their pixels are marked `may_happen`.
    """
    with state.catalog.write() as session:
        resolved = _resolve(session, request)
    return export_report.dry_run(state.catalog, request, resolved, _losses(resolved, request))


@router.get("/exports", summary="List exports, newest first")
def list_exports(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> ExportPage:
    with state.catalog.read() as session:
        rows = exports.list_exports(session, decode_token(page_token), page_size + 1)
        found = [rendered(session, row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return ExportPage(
        exports=found, next_page_token=encode_token(rows[page_size - 1].id) if more else None
    )


@router.get(
    "/exports/{export_id}",
    response_model=Export,
    summary="How an export stands",
    responses={304: {"description": "Nothing changed since the ETag you sent"}},
)
def get_export(export_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    with state.catalog.read() as session:
        row = use_cases.get_export(session, export_id)
        etag = f'"{row.id}-{row.event_seq}"'
        export = rendered(session, row)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if not export.done:
        headers["Retry-After"] = "1"
    if is_current(if_none_match, etag):
        return not_modified(headers)
    return Response(export.model_dump_json(), 200, headers, media_type="application/json")


@router.get(
    "/exports/{export_id}/file",
    summary="The zip of an export",
    response_class=Response,
    responses=downloads.responses("application/zip"),
)
def get_file(
    export_id: str, state: State, redirect: Redirect = None, if_none_match: IfNoneMatch = None
) -> Response:
    """404, 409 or 410 where there is none: an export that is not done, failed, or went to a bucket,
    or whose file was kept long enough (`SELVAGE_KEEP_EXPORT_DAYS`).
    """
    with state.catalog.read() as session:
        row, key = use_cases.file_of(session, export_id)
        digest = (row.result or {})["sha256"]
    name = f"{row.params['export']['format']}-{row.id}.zip"
    file = StoredFile(key, digest, "application/zip", f"The file of export '{row.id}'", name)
    return downloads.send_file(state, file, redirect=redirect, if_none_match=if_none_match)


@router.post(
    "/exports/{export_id}:cancel", status_code=202, response_model=Export, summary="Stop an export"
)
def cancel_export(export_id: str, state: State) -> Response:
    """No half file is left to download. Asking again, or too late, does no harm."""
    with state.catalog.read() as session:
        use_cases.get_export(session, export_id)
    jobs.cancel(state.catalog, export_id)
    state.queue.wake()
    with state.catalog.read() as session:
        body = rendered(session, use_cases.get_export(session, export_id)).model_dump_json()
    return accepted(body, f"/v1/exports/{export_id}")


@router.delete("/exports/{export_id}", summary="Delete an export", status_code=204)
def delete_export(export_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Its file goes with it. What was written to a bucket stays there."""
    check_owner(state, caller, JobRow, export_id)
    deletion.delete_job(state.catalog, export_id, force=force)
    state.queue.wake()
