"""Resumable uploads: announce a large file, send its parts, go on after a break, complete it."""

import hashlib
import tempfile
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, Final, cast

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from api_schemas.problems import PartSizeMismatch, Problem
from api_schemas.uploads import (
    MAX_PARTS,
    StoredPart,
    Upload,
    UploadComplete,
    UploadCreate,
    UploadPage,
    UploadPart,
    UploadStatus,
    UploadSummary,
)
from domain import upload_completion
from domain import uploads as use_cases
from domain.uploads import ArrivedPart
from formats.names import clean_file_name
from service import openapi
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_position, decode_token, encode_token
from service.principals import Caller
from service.state import ServiceState, State
from storage.catalog import uploads
from storage.catalog.tables import UploadRow

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
PARTS_IN_ANSWER: Final = 100
SPOOL_BYTES: Final = 1 << 20
_BINARY_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PartNumber = Annotated[int, Path(ge=1, le=MAX_PARTS)]


def _summary(row: UploadRow) -> dict[str, Any]:
    base = f"/v1/uploads/{row.id}"
    return {
        "id": row.id,
        "file_name": row.file_name,
        "size_bytes": row.size_bytes,
        "status": row.status,
        "created_at": datetime.fromtimestamp(row.created_at, UTC),
        "expires_at": datetime.fromtimestamp(row.expires_at, UTC),
        "links": {"self": base, "complete": f"{base}:complete"},
    }


def _rendered(
    state: ServiceState,
    row: UploadRow,
    arrived: list[ArrivedPart],
    after: int = 0,
    page_size: int = PARTS_IN_ANSWER,
) -> Upload:
    """Render an upload with one page of its parts and fresh addresses for them."""
    count = use_cases.part_count(row)
    last = min(count, after + page_size)
    have = {part.number: part for part in arrived}
    numbers = range(after + 1, last + 1) if row.status != "aborted" else ()
    return Upload(
        **_summary(row),
        sha256=row.sha256,
        part_bytes=row.part_bytes,
        part_count=count,
        parts=[_part(state, row, number, have.get(number)) for number in numbers],
        next_page_token=encode_token(last) if numbers and last < count else None,
        problem=Problem.model_validate(row.problem) if row.problem else None,
        created_by=row.created_by,
    )


def _part(
    state: ServiceState, row: UploadRow, number: int, arrived: ArrivedPart | None
) -> UploadPart:
    size_bytes = use_cases.part_size(row, number)
    is_stored = row.status == "complete" or (
        arrived is not None and arrived.size_bytes == size_bytes
    )
    return UploadPart(
        number=number,
        size_bytes=size_bytes,
        status="stored" if is_stored else "missing",
        etag=arrived.etag if arrived and is_stored else None,
        url=_part_url(state, row, number, size_bytes) if row.status == "open" else None,
    )


def _part_url(state: ServiceState, row: UploadRow, number: int, size_bytes: int) -> str | None:
    if row.multipart_id is None:
        return f"/v1/uploads/{row.id}/parts/{number}"
    if state.objects.multipart is None:
        return None
    return state.objects.multipart.part_url(
        row.object_key, row.multipart_id, number, state.settings.presigned_seconds, size_bytes
    )


@router.post("", status_code=201, response_model=Upload, summary="Announce a large file")
def create_upload(
    request: Annotated[UploadCreate, Body(openapi_examples=openapi.UPLOAD_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Begin an upload that goes in parts. PUT the parts in any order and as many at once as you
    like, to the addresses in `parts`; after a break, GET the upload and send what is missing; then
    `:complete` it.
    """
    fingerprint = fingerprint_of("POST", "/v1/uploads", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        named = request.model_copy(update={"file_name": clean_file_name(request.file_name)})
        row = use_cases.begin_at_store(state.catalog, state.objects, state.settings, named)
        try:
            with state.catalog.write() as session:
                use_cases.add(session, row, state.settings, caller.id)
                body = _rendered(state, row, []).model_dump_json()
                location = f"/v1/uploads/{row.id}"
                ticket.complete(session, 201, location, body)
        except Exception:  # whatever it is, the store must not keep an upload that nobody knows
            use_cases.drop_at_store(state.objects, row)
            raise
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("", summary="List uploads, newest first")
def list_uploads(
    state: State,
    status: Annotated[UploadStatus | None, Query(description="Only these")] = None,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> UploadPage:
    with state.catalog.read() as session:
        rows = uploads.list_uploads(session, decode_token(page_token), page_size + 1, status)
    page = rows[:page_size]
    return UploadPage(
        uploads=[UploadSummary(**_summary(row)) for row in page],
        next_page_token=encode_token(page[-1].id) if len(rows) > page_size else None,
    )


@router.get("/{upload_id}", summary="How an upload stands, and which of its parts are there")
def get_upload(
    upload_id: str,
    state: State,
    page_size: PageSize = PARTS_IN_ANSWER,
    page_token: PageToken = None,
) -> Upload:
    """`parts` is one page of the parts; on S3 each has a fresh address, good for 15 minutes."""
    after = max(0, decode_position(page_token))
    with state.catalog.read() as session:
        return _read(state, session, upload_id, after, page_size)


def _read(
    state: ServiceState, session: Session, upload_id: str, after: int, page_size: int
) -> Upload:
    row = use_cases.get(session, upload_id)
    arrived = []
    if row.status in uploads.OPEN_STATUSES:
        arrived = use_cases.arrived_parts(session, state.objects, row)
    return _rendered(state, row, arrived, after, page_size)


@router.put(
    "/{upload_id}/parts/{number}",
    summary="Send a part, where the service itself takes parts",
    openapi_extra=_BINARY_BODY,
)
async def put_part(
    upload_id: str, number: PartNumber, request: Request, response: Response, state: State
) -> StoredPart:
    """Store the bytes of one part. Sending it again replaces it; one that is cut leaves nothing.

    Send it to the `url` of the part, which on S3 is the object store's.
    """
    size_bytes = await run_in_threadpool(use_cases.expected_part, state.catalog, upload_id, number)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) != size_bytes:
        raise _wrong_size(number, size_bytes, declared)
    await run_in_threadpool(state.objects.require_room, size_bytes)
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spooled:
        file = cast(BinaryIO, spooled)
        sha256 = await _receive(request, file, number, size_bytes)
        await run_in_threadpool(
            use_cases.store_part,
            state.catalog,
            state.objects,
            upload_id,
            number,
            file,
            sha256=sha256,
            size_bytes=size_bytes,
        )
    response.headers["ETag"] = f'"{sha256}"'
    return StoredPart(upload=upload_id, number=number, size_bytes=size_bytes, etag=sha256)


async def _receive(request: Request, file: BinaryIO, number: int, size_bytes: int) -> str:
    """Write the body to `file`, rewind it, and return the SHA-256; the size must be exact."""
    digest, received_bytes, waiting = hashlib.sha256(), 0, bytearray()
    try:
        async for piece in request.stream():
            received_bytes += len(piece)
            if received_bytes > size_bytes:
                raise _wrong_size(number, size_bytes, "more")
            waiting += piece
            if len(waiting) >= SPOOL_BYTES:
                await run_in_threadpool(_take, file, digest, waiting)
                waiting = bytearray()
    except ClientDisconnect as error:
        raise _wrong_size(number, size_bytes, str(received_bytes)) from error
    if received_bytes != size_bytes:
        raise _wrong_size(number, size_bytes, str(received_bytes))
    _take(file, digest, waiting)
    file.seek(0)
    return digest.hexdigest()


def _take(file: BinaryIO, digest: Any, data: bytearray) -> None:
    file.write(data)
    digest.update(data)


def _wrong_size(number: int, size_bytes: int, got: str) -> PartSizeMismatch:
    return PartSizeMismatch(
        f"Part {number} has {size_bytes} bytes, the request had {got}. Nothing was stored; send "
        "the part again, whole."
    )


@router.post("/{upload_id}:complete", summary="Make one file of the parts")
def complete_upload(
    upload_id: str,
    state: State,
    request: Annotated[
        UploadComplete | None, Body(openapi_examples=openapi.UPLOAD_COMPLETE_EXAMPLES)
    ] = None,
) -> Upload:
    """Check that every part is there, put them together, and verify the SHA-256 if one was given.

    Asking twice does no harm; asked again after a break it goes on.
    """
    row = upload_completion.complete(
        state.catalog,
        state.objects,
        upload_id,
        request.parts if request else None,
        state.settings,
    )
    return _rendered(state, row, [])


@router.delete("/{upload_id}", status_code=204, summary="Abort an upload and delete its bytes")
def abort_upload(upload_id: str, state: State, caller: Caller) -> None:
    """A complete one is deleted as well, unless a job reads it. Asking twice does no harm."""
    with state.catalog.read() as session:
        caller.require_ownership(use_cases.get(session, upload_id).created_by)
    use_cases.abort(state.catalog, state.objects, upload_id, state.settings)
