"""Named pipelines: immutable versions of a configuration of the label path."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Path
from fastapi.responses import Response

from api_schemas.pipelines import (
    PipelineConfig,
    PipelineCreate,
    PipelinePage,
    PipelineVersion,
    PipelineVersionPage,
)
from domain import pipelines as use_cases
from service import openapi
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_position, decode_token, encode_token
from service.path_types import VERSION
from service.principals import Caller
from service.state import State
from storage.catalog import pipelines
from storage.catalog.pipelines import Named

router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"])
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]


def _rendered(named: Named) -> PipelineVersion:
    row, stored = named
    base = f"/v1/pipelines/{row.name}"
    return PipelineVersion(
        name=row.name,
        version=row.version,
        reference=use_cases.reference_of(row),
        digest=row.digest,
        config=PipelineConfig.model_validate(stored.config),
        description=row.description,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        created_by=row.created_by,
        links={"self": f"{base}/versions/{row.version}", "versions": f"{base}/versions"},
    )


@router.post(
    "",
    status_code=201,
    response_model=PipelineVersion,
    summary="Give a configuration a name",
    responses={200: {"model": PipelineVersion, "description": "The latest version is the same"}},
)
def create_pipeline(
    request: Annotated[PipelineCreate, Body(openapi_examples=openapi.PIPELINE_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store `config` as the next version of `name`, which jobs may ask for as `name@version`.

    Where the latest version has the same configuration, that version is the answer (200), with
    its own description.
    """
    fingerprint = fingerprint_of("POST", "/v1/pipelines", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    replayed = ticket.replay()
    if replayed is not None:
        return replayed
    with ticket, state.catalog.write() as session:
        named, is_new = use_cases.create(session, request, caller.id)
        document = _rendered(named)
        body, location = document.model_dump_json(), document.links["self"]
        status = 201 if is_new else 200
        ticket.complete(session, status, location, body)
    return Response(body, status, {"Location": location}, media_type="application/json")


@router.get("", summary="List pipelines by name, each with its latest version")
def list_pipelines(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> PipelinePage:
    with state.catalog.read() as session:
        rows = pipelines.list_latest(session, decode_token(page_token), page_size + 1)
    page = [_rendered(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return PipelinePage(
        pipelines=page, next_page_token=encode_token(page[-1].name) if more else None
    )


@router.get("/{name}", summary="The latest version of a pipeline")
def get_pipeline(name: str, state: State) -> PipelineVersion:
    with state.catalog.read() as session:
        return _rendered(use_cases.get_version(session, name))


@router.get("/{name}/versions", summary="All versions of a pipeline")
def list_pipeline_versions(
    name: str, state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> PipelineVersionPage:
    after = decode_position(page_token)
    with state.catalog.read() as session:
        use_cases.get_version(session, name)
        rows = pipelines.list_versions(session, name, after=after, limit=page_size + 1)
    page = [_rendered(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return PipelineVersionPage(
        versions=page, next_page_token=encode_token(page[-1].version) if more else None
    )


@router.get(f"/{{name}}/versions/{VERSION}", summary="One version of a pipeline")
def get_pipeline_version(name: str, number: VersionNumber, state: State) -> PipelineVersion:
    with state.catalog.read() as session:
        return _rendered(use_cases.get_version(session, name, number))
