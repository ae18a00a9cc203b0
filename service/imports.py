"""POST /v1/imports: labels that people corrected in a tool come back."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import ValidationError

from api_schemas.ids import new_id
from api_schemas.imports import ImportCreate
from api_schemas.jobs import Job
from api_schemas.problems import ValidationProblem
from domain import imports, uploads
from service import openapi, rendering
from service.accepted import accepted
from service.admission import admit
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.model_uploads import stored_file
from service.principals import Caller, Principal
from service.problems import validation_problem
from service.state import ServiceState, State
from service.strict_json import parse_json
from service.uploads import Upload, fingerprint, read_upload
from storage.catalog.tables import UploadRow

router = APIRouter(prefix="/v1", tags=["reviews"])
PATH = "/v1/imports"
FIELDS = {"image_set", "format", "job", "unknown_classes", "metadata"}


@router.post(
    "/imports",
    status_code=202,
    response_model=Job,
    summary="Bring corrected labels back: index PNGs, Label Studio, CVAT or COCO",
    openapi_extra=openapi.IMPORT_BODY,
)
async def create_import(
    request: Request, state: State, caller: Caller, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send a zip of index PNGs, a JSON export of Label Studio, a zip of CVAT (Segmentation mask
    1.1) or COCO instances; or name an upload that holds it.

    The answer is a job. Each mask is matched to an image of the set by its name and becomes a
    review: accepted where it is the label that the image has, else corrected. Masks of another
    size, with unknown classes or of no image are failed items with a reason.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with read_upload(request, state, file_field="file", fields=FIELDS) as upload:
            content: Any = await fingerprint(upload)
            ticket = Ticket(state, idempotency_key, fingerprint_of("POST", PATH, content))
            return await run_in_threadpool(_from_file, state, caller, upload, ticket)
    asked = _parsed(parse_json(await request.body()))
    content = asked.model_dump(mode="json")
    ticket = Ticket(state, idempotency_key, fingerprint_of("POST", PATH, content))
    return await run_in_threadpool(_from_upload, state, caller, asked, ticket)


def _parsed(document: Any) -> ImportCreate:
    try:
        return ImportCreate.model_validate(document)
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error


def _from_upload(
    state: ServiceState, caller: Principal, asked: ImportCreate, ticket: Ticket
) -> Response:
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        return _started(state, caller, asked, ticket, None)


def _from_file(state: ServiceState, caller: Principal, upload: Upload, ticket: Ticket) -> Response:
    document: dict[str, Any] = {**upload.fields, "upload": new_id("upl")}
    if "metadata" in document:
        document["metadata"] = parse_json(document["metadata"].encode())
    asked = _parsed(document)
    if len(upload.files) != 1:
        raise ValidationProblem("Send exactly one file in the part 'file'.")
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        part = upload.files[0]
        row = stored_file(state, part.name, part.file)
        return _started(state, caller, asked.model_copy(update={"upload": row.id}), ticket, row)


def _started(
    state: ServiceState,
    caller: Principal,
    asked: ImportCreate,
    ticket: Ticket,
    file: UploadRow | None,
) -> Response:
    with state.catalog.write() as session:
        if file is not None:
            uploads.add_complete(session, file, state.settings, caller.id)
        job = imports.create(session, asked, caller.id)
        admit(session, state, caller, job)
        body = rendering.job(session, job).model_dump_json()
        location = f"/v1/jobs/{job.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)
