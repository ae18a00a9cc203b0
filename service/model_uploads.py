"""New model versions: from an archive in the request, an upload, or a prefix of a bucket.

What may be in an archive is judged by its names before anything is stored; the rest is found out
by the job that this starts, in a worker.
"""

import hashlib
from typing import Annotated, Any, BinaryIO, Final

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import ValidationError

from api_schemas.ids import new_id
from api_schemas.jobs import Job
from api_schemas.models import MODEL_NAME_PATTERN, ModelUploadSource, ModelVersionCreate
from api_schemas.problems import FieldProblem, InputProblem, ValidationProblem
from domain import model_versions, uploads
from formats.archives import archive_kind
from formats.errors import InputRefused
from formats.model_archives import look_through
from formats.model_files import pickle_refused
from formats.names import clean_file_name
from formats.sniffing import ARCHIVE_HEAD_BYTES
from service import openapi, rendering
from service.accepted import accepted
from service.admission import admit
from service.idempotency import IdempotencyKey, OwnedKey, Ticket, fingerprint_of
from service.principals import Caller, Principal
from service.problems import validation_problem
from service.state import ServiceState, State
from service.strict_json import parse_json
from service.uploads import Upload, fingerprint, read_upload
from service.waiting import WaitingRoute
from storage.catalog.tables import UploadRow
from storage.objects import upload_key

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=WaitingRoute)
FIELDS: Final = {"promote", "metadata"}
BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
PICKLE_SUFFIXES: Final = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
NewModelName = Annotated[str, Path(pattern=MODEL_NAME_PATTERN)]


class ArchiveRefused(InputProblem):
    """An archive of a model that is not taken."""

    title = "The model cannot be used"


@router.post(
    "/{name}/versions",
    status_code=202,
    response_model=Job,
    summary="Add a version of a model",
    openapi_extra=openapi.MODEL_VERSION_BODY,
)
async def create_version(
    name: NewModelName,
    request: Request,
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send a zip or tar of a bundle or a Hugging Face folder, or say where it is uploaded already.

    Only `*.json`, `*.safetensors` and `*.txt` are taken; pickles and code are refused. The answer
    is a job of type `validate`, which loads the model and tries it on one image; its `model` is the
    new version, `validating` until the job ends: then `ready`, or `rejected` with the reason.
    """
    path = f"/v1/models/{name}/versions"
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with read_upload(request, state, file_field="file", fields=FIELDS) as upload:
            content: Any = await fingerprint(upload)
            ticket = Ticket(state, idempotency_key, fingerprint_of("POST", path, content))
            return await run_in_threadpool(_from_archive, state, caller, name, upload, ticket)
    body = _parsed(await request.body())
    return await run_in_threadpool(_from_source, state, caller, name, body, idempotency_key)


def _parsed(body: bytes) -> ModelVersionCreate:
    try:
        parse_json(body)
        return ModelVersionCreate.model_validate_json(body)
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error


def _from_source(
    state: ServiceState,
    caller: Principal,
    name: str,
    request: ModelVersionCreate,
    key: OwnedKey | None,
) -> Response:
    path = f"/v1/models/{name}/versions"
    ticket = Ticket(state, key, fingerprint_of("POST", path, request.model_dump(mode="json")))
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        return _started(state, caller, name, request, ticket, None)


def _from_archive(
    state: ServiceState, caller: Principal, name: str, upload: Upload, ticket: Ticket
) -> Response:
    promote, metadata = _fields(upload)
    if len(upload.files) != 1:
        raise ValidationProblem("Send exactly one archive in the part 'file'.")
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        part = upload.files[0]
        _look_through(state, part.name, part.file)
        row = stored_file(state, part.name, part.file)
        request = ModelVersionCreate(
            source=ModelUploadSource(type="upload", upload=row.id),
            promote=promote,
            metadata=metadata,
        )
        return _started(state, caller, name, request, ticket, row)


def _fields(upload: Upload) -> tuple[bool, dict[str, str]]:
    """Return `promote` and `metadata`.

    Raises:
        ValidationProblem: one of them cannot be read.
    """
    promote = BOOLEANS.get(upload.fields.get("promote", "false").lower())
    if promote is None:
        raise ValidationProblem(
            "The form field 'promote' must be true or false.",
            errors=[FieldProblem(pointer="/promote", detail="true or false")],
        )
    try:
        metadata = parse_json(upload.fields.get("metadata", "{}").encode())
        source = {"type": "upload", "upload": new_id("upl")}
        request = ModelVersionCreate.model_validate({"source": source, "metadata": metadata})
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error
    except ValidationProblem as error:
        raise ValidationProblem(
            "The form field 'metadata' is no JSON object of strings.",
            errors=[FieldProblem(pointer="/metadata", detail="not JSON")],
        ) from error
    return promote, request.metadata


def _look_through(state: ServiceState, name: str, file: BinaryIO) -> None:
    """Refuse an archive by the names in it."""
    head = file.read(ARCHIVE_HEAD_BYTES)
    file.seek(0)
    try:
        if name.lower().endswith(PICKLE_SUFFIXES):  # newer ones are zips inside
            raise pickle_refused(clean_file_name(name)[:80])
        if archive_kind(head) is None:
            raise InputRefused(
                "not-an-archive",
                "The file is no zip or tar. Pack the folder of the model: "
                "`tar cf model.tar -C FOLDER .`",
            )
        look_through(file, state.settings.max_model_bytes)
    except InputRefused as error:
        raise ArchiveRefused(error.code, str(error)) from error


def stored_file(state: ServiceState, name: str, file: BinaryIO) -> UploadRow:
    """Store a file as if it had come as a resumable upload; its row is still to be added."""
    file.seek(0)
    digest, size_bytes = hashlib.sha256(), 0
    while piece := file.read(1 << 20):
        digest.update(piece)
        size_bytes += len(piece)
    file.seek(0)
    upload_id = new_id("upl")
    state.objects.put_file(upload_key(upload_id), file)
    return UploadRow(
        id=upload_id,
        file_name=clean_file_name(name),
        size_bytes=size_bytes,
        part_bytes=size_bytes,
        sha256=digest.hexdigest(),
        status="complete",
        object_key=upload_key(upload_id),
        multipart_id=None,
    )


def _started(
    state: ServiceState,
    caller: Principal,
    name: str,
    request: ModelVersionCreate,
    ticket: Ticket,
    archive: UploadRow | None,
) -> Response:
    with state.catalog.write() as session:
        if archive is not None:
            uploads.add_complete(session, archive, state.settings, caller.id)
        row = model_versions.create(
            session, name, request, state.settings.max_queued_images, caller.id
        )
        admit(session, state, caller, row)
        body = rendering.job(session, row).model_dump_json()
        location = f"/v1/jobs/{row.id}"
        ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)
