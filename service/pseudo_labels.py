"""POST /v1/pseudo-labels: images and a model in, a job that labels them out."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api_schemas.jobs import GenerateJobCreate
from api_schemas.labels import PseudoLabelsCreated
from api_schemas.pipelines import parse_pipeline_reference
from api_schemas.problems import FieldProblem, NoUsableImage, ValidationProblem
from domain import image_sets as image_set_use_cases
from domain import jobs as use_cases
from domain import models
from domain.job_fields import common_fields, resolve_pipeline
from service import openapi, rendering
from service.accepted import accepted
from service.admission import admit
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.image_sets import checked_name, report_of
from service.ingest import ingest, new_set
from service.preferences import Prefer, Preferences
from service.principals import Caller, Principal
from service.problems import validation_problem
from service.state import ServiceState, State
from service.strict_json import parse_json
from service.strictness import reasons, refuse_rejected
from service.uploads import Upload, fingerprint, read_upload
from service.waiting import WaitingRoute
from storage.catalog.tables import LOCAL, ImageSetRow

router = APIRouter(prefix="/v1", tags=["pseudo-labels"], route_class=WaitingRoute)
FIELDS = {
    "model",
    "pipeline",
    "metadata",
    "priority",
    "name",
    "schedule_at",
    "deadline_at",
    "failure_policy",
    "webhook",
}
UNKNOWN_SET = "set_00000000000000000000000000"
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
REPORTED_PROBLEMS = 100


@router.post(
    "/pseudo-labels",
    status_code=202,
    response_model=PseudoLabelsCreated,
    summary="Images in, pseudo-labels out",
    openapi_extra=openapi.multipart_body(
        "files",
        many=True,
        fields={
            "model": openapi.MODEL_FIELD,
            "pipeline": openapi.PIPELINE_FIELD,
            "metadata": openapi.METADATA_FIELD,
            "priority": openapi.PRIORITY_FIELD,
            "schedule_at": openapi.SCHEDULE_AT_FIELD,
            "deadline_at": openapi.DEADLINE_AT_FIELD,
            "failure_policy": openapi.FAILURE_POLICY_FIELD,
            "webhook": openapi.WEBHOOK_FIELD,
            "name": openapi.NAME_FIELD,
        },
        required=["model"],
    ),
)
async def create_pseudo_labels(
    request: Request,
    state: State,
    caller: Caller,
    preferences: Prefer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Upload images (or a zip of them) and label them with a model.

    The answer is always 202 with the per-file report and the job. Bad files are reported and
    skipped; if none is usable, the answer is a problem that says why for each. With
    `Prefer: handling=strict` one bad file is enough for that.
    """
    async with read_upload(request, state, file_field="files", fields=FIELDS) as upload:
        content = await fingerprint(upload)
        key = fingerprint_of("POST", "/v1/pseudo-labels", content)
        ticket = Ticket(state, idempotency_key, key)
        response = await run_in_threadpool(_create, state, caller, upload, ticket, preferences)
        response.headers.update(preferences.applied("handling"))
        return response


def _create(
    state: ServiceState,
    caller: Principal,
    upload: Upload,
    ticket: Ticket,
    preferences: Preferences,
) -> Response:
    request = parse_fields(upload.fields)
    name = checked_name(upload)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        with state.catalog.read() as session:  # before a long upload is stored, not after
            _check_model(session, request)
        with new_set(state, name, caller.id, upload.size_bytes) as intake:
            ingest(state, upload, intake, ticket.renew)
            with state.catalog.write() as session:
                row = image_set_use_cases.close(session, intake.image_set_id)
                refuse_rejected(session, row, preferences)
                if not row.accepted:
                    raise _no_usable_image(session, row)
                job = use_cases.create_generate(
                    session,
                    request.model_copy(update={"image_set": row.id}),
                    state.settings.max_queued_images,
                    caller.id,
                )
                admit(session, state, caller, job)
                created = PseudoLabelsCreated(
                    image_set=report_of(session, row), job=rendering.job(session, job)
                )
                body = created.model_dump_json()
                location = f"/v1/jobs/{job.id}"
                ticket.complete(session, 202, location, body)
    state.queue.wake()
    return accepted(body, location)


def parse_fields(fields: dict[str, str]) -> GenerateJobCreate:
    """Return the job that the form fields describe; its image set is not known yet.

    Raises:
        ValidationProblem: a field is missing, no JSON, or not valid.
    """
    if "model" not in fields:
        raise ValidationProblem(
            "The form field 'model' is missing. Name a registered model: -F model=demo",
            errors=[FieldProblem(pointer="/model", detail="required")],
        )
    document: dict[str, Any] = {
        "type": "generate",
        "image_set": UNKNOWN_SET,
        "model": fields["model"],
    }
    for field in ("pipeline", "metadata", "failure_policy", "webhook"):
        if field in fields and not (field == "pipeline" and _is_name(fields[field])):
            document[field] = _json_object(field, fields[field])
    for field in ("pipeline", "schedule_at", "deadline_at"):
        if field in fields:
            document.setdefault(field, fields[field])
    if "priority" in fields:
        text = fields["priority"]
        document["priority"] = int(text) if WHOLE_NUMBER.fullmatch(text) else text
    try:
        return GenerateJobCreate.model_validate(document)
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error


def _is_name(text: str) -> bool:
    """Whether a `pipeline` field names a stored one instead of describing it."""
    try:
        parse_pipeline_reference(text)
    except ValueError:
        return False
    return True


def _json_object(field: str, text: str) -> dict[str, Any]:
    try:
        document = parse_json(text.encode())
    except ValidationProblem as error:
        raise ValidationProblem(
            f"The form field '{field}' is not usable. {error.detail}",
            errors=[FieldProblem(pointer=f"/{field}", detail="not JSON that can be stored")],
        ) from error
    if not isinstance(document, dict):
        raise ValidationProblem(f"The form field '{field}' must be a JSON object.")
    return document


def _check_model(session: Session, request: GenerateJobCreate) -> None:
    version = models.resolve(session, request.model)
    pipeline, _ = resolve_pipeline(session, request.pipeline)
    use_cases.check_pipeline(session, pipeline, version)
    common_fields(session, request, LOCAL)


def _no_usable_image(session: Session, row: ImageSetRow) -> NoUsableImage:
    return NoUsableImage(
        f"None of the {row.rejected} files can be used; `errors` says why for each.",
        errors=reasons(session, row, REPORTED_PROBLEMS),
    )
