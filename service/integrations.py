"""Integrations: profiles by which labelling tools ask for labels."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.integrations import Integration, IntegrationCreate, IntegrationPage
from api_schemas.pipelines import PipelineConfig
from domain import integrations as use_cases
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.principals import Caller
from service.state import State
from storage.catalog import integrations
from storage.catalog.tables import IntegrationRow

router = APIRouter(prefix="/v1/integrations", tags=["integrations"])
MAX_LISTED = 1000
Reference = Annotated[str, Path(description="Id or name of an integration")]
EXAMPLES: dict[str, Any] = {
    "label_studio": {
        "summary": "Labels of a model for a Label Studio project",
        "value": {
            "name": "city",
            "image_set": "set_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "model": "demo",
            "connection": "our-label-studio",
        },
    }
}


def _rendered(session: Session, row: IntegrationRow) -> Integration:
    counts = integrations.count_tasks(session, row.id)
    return Integration(
        id=row.id,
        name=row.name,
        image_set=row.image_set_id,
        model=row.model,
        pipeline=PipelineConfig.model_validate(row.pipeline),
        connection=row.connection_id,
        tasks={status: counts.get(status, 0) for status in ("waiting", "pushed", "failed")},
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        created_by=row.created_by,
        links={
            "self": f"/v1/integrations/{row.name}",
            "label_studio": f"/integrations/label-studio/{row.name}",
            "nuclio": f"/integrations/nuclio/{row.name}",
        },
    )


@router.post(
    "", status_code=201, response_model=Integration, summary="Make a profile for a labelling tool"
)
def create_integration(
    request: Annotated[IntegrationCreate, Body(openapi_examples=EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Tools ask for labels at the addresses in `links`, with an API key as password."""
    content = request.model_dump(mode="json")
    ticket = Ticket(state, idempotency_key, fingerprint_of("POST", "/v1/integrations", content))
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        row = use_cases.create(session, request, caller.id)
        body = _rendered(session, row).model_dump_json()
        location = f"/v1/integrations/{row.name}"
        ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("", summary="List integrations, by name")
def list_integrations(state: State) -> IntegrationPage:
    with state.catalog.read() as session:
        rows = integrations.list_integrations(session, MAX_LISTED)
        return IntegrationPage(integrations=[_rendered(session, row) for row in rows])


@router.get("/{reference}", summary="One integration, with its tasks by status")
def get_integration(reference: Reference, state: State) -> Integration:
    with state.catalog.read() as session:
        return _rendered(session, use_cases.get(session, reference))


@router.delete("/{reference}", summary="Delete an integration", status_code=204)
def delete_integration(reference: Reference, state: State, caller: Caller) -> None:
    """Labels and jobs stay; the tool is answered 404 from then on."""
    with state.catalog.write() as session:
        row = use_cases.get(session, reference)
        caller.require_ownership(row.created_by)
        integrations.delete_integration(session, row)
