"""Image sets from elsewhere: checked, written down as a job, and fetched by a light worker."""

import json
from typing import Any, Final

from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.image_sets import (
    ImageSetCreate,
    ImageSetCreated,
    ManifestSource,
    PrefixSource,
    UploadSource,
    UrlsSource,
)
from api_schemas.problems import FieldProblem, StateConflict, ValidationProblem
from domain import connections, ingest, jobs, uploads
from domain.ingest import IngestRequest
from service import rendering
from service.accepted import accepted
from service.admission import admit
from service.idempotency import OwnedKey, Ticket, fingerprint_of
from service.principals import Principal
from service.problems import validation_problem
from service.state import ServiceState
from service.strict_json import parse_json
from storage.objects import worklist_key

PATH: Final = "/v1/image-sets"
AnySource = UrlsSource | PrefixSource | ManifestSource | UploadSource


def parse_request(body: bytes) -> ImageSetCreate:
    """Return what a JSON body asks for.

    Raises:
        ValidationProblem: it is not valid.
    """
    try:
        return ImageSetCreate.model_validate(parse_json(body))
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error


def create_remote_set(
    state: ServiceState, caller: Principal, request: ImageSetCreate, key: OwnedKey | None
) -> Response:
    """Create an empty set and the job that fills it. Blocking.

    Raises:
        ProblemError: the connection or the upload cannot be used, or there is no room.
    """
    content = request.model_dump(mode="json")
    ticket = Ticket(state, key, fingerprint_of("POST", PATH, content))
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        worklist = worklist_key(new_id("req"))
        if isinstance(request.source, UrlsSource):
            # before its row: a list that nothing refers to is collected, a row without one fails
            state.objects.put_new(worklist, _lines(request.source))
        with state.catalog.write() as session:
            asked = _ingest_request(session, request, worklist, caller)
            jobs.check_room(session, asked.expected, state.settings.max_queued_images)
            row, job = ingest.create(session, asked)
            created = ImageSetCreated(
                image_set=rendering.image_set(row), job=rendering.job(session, job)
            )
            body, location = created.model_dump_json(), f"/v1/jobs/{job.id}"
            ticket.complete(session, 202, location, body)
            admit(session, state, caller, job)
    state.queue.wake()
    return accepted(body, location)


def _ingest_request(
    session: Session, request: ImageSetCreate, worklist: str, caller: Principal
) -> IngestRequest:
    asked = request.source
    source: dict[str, Any] = {"type": asked.type}
    shown: dict[str, Any] = {"type": asked.type}
    expected = 0
    if isinstance(asked, UploadSource):
        _use_upload(session, asked, source, shown)
    else:
        _use_connection(session, asked, source, shown)
    if isinstance(asked, UrlsSource):
        expected = len(asked.urls or asked.items or [])
        source["worklist"] = worklist
        shown["count"] = expected
    elif isinstance(asked, ManifestSource):
        reference = asked.url or asked.key or ""
        source |= {"worklist": worklist, "manifest": reference}
        shown["manifest"] = reference.partition("?")[0]  # a query may be a signature
    elif isinstance(asked, PrefixSource):
        chosen = asked.model_dump(include={"prefix", "suffixes", "max_files"})
        source |= chosen
        shown |= chosen
    return IngestRequest(request.name, source, shown, expected, caller.id)


def _use_upload(
    session: Session, asked: UploadSource, source: dict[str, Any], shown: dict[str, Any]
) -> None:
    row = uploads.get(session, asked.upload, lock=True)  # so that it is not removed meanwhile
    if row.status != "complete":
        raise StateConflict(
            f"Upload '{row.id}' is {row.status}. Send all parts and POST "
            f"/v1/uploads/{row.id}:complete first."
        )
    source |= {"upload": row.id, "object_key": row.object_key, "file_name": row.file_name}
    shown |= {"upload": row.id, "file_name": row.file_name}


def _use_connection(
    session: Session,
    asked: UrlsSource | PrefixSource | ManifestSource,
    source: dict[str, Any],
    shown: dict[str, Any],
) -> None:
    if asked.connection is None:
        return
    row = connections.lock(session, asked.connection)  # so that it is not deleted meanwhile
    if isinstance(asked, PrefixSource) and row.kind != "s3":
        raise ValidationProblem(
            f"Connection '{row.name}' is of kind {row.kind}, which has no list of its files. Name "
            "them with a source of type urls or manifest.",
            errors=[FieldProblem(pointer="/source/connection", detail="must be of kind s3")],
        )
    source["connection_id"] = row.id
    shown["connection"] = row.name


def _lines(source: UrlsSource) -> bytes:
    """Return the files of a request as a manifest."""
    lines: list[dict[str, str]] = [{"url": url} for url in source.urls or []]
    for item in source.items or []:
        lines.append(item.model_dump(exclude_none=True))
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
