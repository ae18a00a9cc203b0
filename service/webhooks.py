"""Webhooks: who is told, with which secret, and what became of each message."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import Response

from api_schemas.webhooks import (
    DeliveryStatus,
    EventType,
    SecretRotation,
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookEndpoint,
    WebhookEndpointCreate,
    WebhookEndpointPage,
    WebhookEndpointUpdate,
    WebhookEndpointWithSecret,
    WebhookEvent,
)
from domain import jobs as job_use_cases
from domain import webhook_rules
from domain import webhooks as use_cases
from domain.secrets import SecretKeeper
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.principals import Caller
from service.state import ServiceState, State
from storage.catalog import deliveries, webhooks
from storage.catalog.tables import WebhookDeliveryRow, WebhookEndpointRow

router = APIRouter(prefix="/v1", tags=["webhooks"])
Reference = Annotated[str, Path(description="Id or name of a webhook endpoint")]
DeliveryId = Annotated[str, Path(description="Id of a delivery, `dlv_…`")]
StatusFilter = Annotated[DeliveryStatus | None, Query(description="Only these")]
EventQuery = Annotated[EventType | None, Query(description="Only of this event")]
EXAMPLES: Final[dict[str, Any]] = {
    "ends": {
        "summary": "Tell a build server when jobs end",
        "value": {
            "name": "ci",
            "url": "https://ci.example.com/hooks/selvage",
            "events": ["job.succeeded", "job.partial", "job.failed"],
        },
    },
    "all": {"summary": "All events", "value": {"name": "all", "url": "https://example.com/hook"}},
}
CHANGE_EXAMPLES: Final[dict[str, Any]] = {
    "on": {"summary": "Switch on again", "value": {"enabled": True}},
    "events": {"summary": "Other events", "value": {"events": ["job.*", "round.completed"]}},
}
ROTATE_EXAMPLES: Final[dict[str, Any]] = {
    "day": {"summary": "Both secrets sign for a day", "value": {}},
    "now": {"summary": "The former one was stolen", "value": {"overlap_seconds": 0}},
}


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _endpoint_fields(row: WebhookEndpointRow) -> dict[str, Any]:
    base = f"/v1/webhook-endpoints/{row.id}"
    return {
        "id": row.id,
        "name": row.name,
        "url": row.url,
        "events": row.events,
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "former_secret_until": _time(row.former_until),
        "created_at": _time(row.created_at),
        "created_by": row.created_by,
        "links": {
            "self": base,
            "deliveries": f"{base}/deliveries",
            "ping": f"{base}:ping",
            "rotate_secret": f"{base}:rotate-secret",
        },
    }


def _endpoint(row: WebhookEndpointRow) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate(_endpoint_fields(row))


def _delivery(row: WebhookDeliveryRow) -> WebhookDelivery:
    of = f"webhook-endpoints/{row.endpoint_id}" if row.endpoint_id else f"jobs/{row.job_id}"
    base = f"/v1/{of}/deliveries/{row.id}"
    pending = row.status == "pending"
    return WebhookDelivery.model_validate(
        {
            "id": row.id,
            "webhook_id": row.message_id,
            "endpoint": row.endpoint_id,
            "job": row.job_id,
            "event": row.event,
            "status": row.status,
            "attempts": row.log,
            "next_attempt_at": _time(row.next_at) if pending else None,
            "redelivery_of": row.redelivery_of,
            "payload": WebhookEvent.model_validate_json(row.body),
            "created_at": _time(row.created_at),
            "finished_at": _time(row.finished_at),
            "links": {"self": base, "redeliver": f"{base}:redeliver"},
        }
    )


@router.post(
    "/webhook-endpoints",
    status_code=201,
    response_model=WebhookEndpointWithSecret,
    summary="Have an address told about events",
)
def create_endpoint(
    request: Annotated[WebhookEndpointCreate, Body(openapi_examples=EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store an address by a name, and show its signing secret once.

    Where an Idempotency-Key makes this a repetition, the answer has all but the secret, which is
    stored encrypted only: rotate it to get another one.
    """
    keeper = SecretKeeper(state.settings)
    content = request.model_dump(mode="json", exclude={"secret"})
    if idempotency_key is not None and request.secret is not None:
        content["secret"] = keeper.fingerprint({"secret": request.secret.get_secret_value()})
    fingerprint = fingerprint_of("POST", "/v1/webhook-endpoints", content)
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        policy = webhook_rules.policy_of(state.settings)
        row, secret = use_cases.create(session, keeper, policy, request, caller.id)
        document = WebhookEndpointWithSecret(**_endpoint_fields(row), secret=secret)
        location = document.links["self"]
        ticket.complete(session, 201, location, document.model_dump_json(exclude={"secret"}))
    return _with_secret(document, 201, location)


def _with_secret(
    document: WebhookEndpointWithSecret, status_code: int, location: str | None = None
) -> Response:
    headers = {"Cache-Control": "no-store", **({"Location": location} if location else {})}
    body = document.model_dump_json()
    return Response(body, status_code, headers, media_type="application/json")


@router.get("/webhook-endpoints", summary="List webhook endpoints by name")
def list_endpoints(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> WebhookEndpointPage:
    with state.catalog.read() as session:
        rows = webhooks.list_endpoints(session, decode_token(page_token), page_size + 1)
    page = [_endpoint(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return WebhookEndpointPage(
        webhook_endpoints=page, next_page_token=encode_token(page[-1].name) if more else None
    )


@router.get("/webhook-endpoints/{reference}", summary="One webhook endpoint")
def get_endpoint(reference: Reference, state: State) -> WebhookEndpoint:
    with state.catalog.read() as session:
        return _endpoint(use_cases.get(session, reference))


@router.patch("/webhook-endpoints/{reference}", summary="Change a webhook endpoint")
def change_endpoint(
    reference: Reference,
    request: Annotated[WebhookEndpointUpdate, Body(openapi_examples=CHANGE_EXAMPLES)],
    state: State,
) -> WebhookEndpoint:
    """Change what is given. Messages that come due while it is switched off are given up."""
    policy = webhook_rules.policy_of(state.settings)
    with state.catalog.write() as session:
        return _endpoint(use_cases.change(session, policy, reference, request))


@router.delete(
    "/webhook-endpoints/{reference}", status_code=204, summary="Delete a webhook endpoint"
)
def delete_endpoint(reference: Reference, state: State) -> Response:
    """Delete an endpoint with its secret; messages that wait for it are given up."""
    with state.catalog.write() as session:
        use_cases.remove(session, reference)
    return Response(status_code=204)


@router.post(
    "/webhook-endpoints/{reference}:rotate-secret",
    response_model=WebhookEndpointWithSecret,
    summary="Give a webhook endpoint a fresh secret",
)
def rotate_secret(
    reference: Reference,
    state: State,
    request: Annotated[SecretRotation | None, Body(openapi_examples=ROTATE_EXAMPLES)] = None,
) -> Response:
    """Show a fresh secret once. Until the overlap ends, messages carry both signatures."""
    overlap_seconds = (request or SecretRotation()).overlap_seconds
    keeper = SecretKeeper(state.settings)
    with state.catalog.write() as session:
        row, secret = use_cases.rotate_secret(session, keeper, reference, overlap_seconds)
        document = WebhookEndpointWithSecret(**_endpoint_fields(row), secret=secret)
    return _with_secret(document, 200)


@router.post(
    "/webhook-endpoints/{reference}:ping",
    status_code=202,
    response_model=WebhookDelivery,
    summary="Send a message to try an endpoint out",
)
def ping_endpoint(reference: Reference, state: State) -> Response:
    """Send `webhook.ping` the way that all messages go; the delivery says how it went."""
    with state.catalog.write() as session:
        document = _delivery(use_cases.ping(session, reference))
    return _accepted(document)


def _accepted(document: WebhookDelivery) -> Response:
    headers = {"Location": document.links["self"], "Retry-After": "1"}
    return Response(document.model_dump_json(), 202, headers, media_type="application/json")


@router.get(
    "/webhook-endpoints/{reference}/deliveries", summary="Messages to an endpoint, newest first"
)
def list_deliveries(
    reference: Reference,
    state: State,
    status: StatusFilter = None,
    event: EventQuery = None,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> WebhookDeliveryPage:
    with state.catalog.read() as session:
        rows = deliveries.list_deliveries(
            session,
            endpoint_id=use_cases.get(session, reference).id,
            before=decode_token(page_token),
            limit=page_size + 1,
            event=event,
            status=status,
        )
    return _page(rows, page_size)


def _page(rows: list[WebhookDeliveryRow], page_size: int) -> WebhookDeliveryPage:
    more = len(rows) > page_size
    return WebhookDeliveryPage(
        deliveries=[_delivery(row) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/webhook-endpoints/{reference}/deliveries/{delivery_id}", summary="One message")
def get_delivery(reference: Reference, delivery_id: DeliveryId, state: State) -> WebhookDelivery:
    with state.catalog.read() as session:
        endpoint_id = use_cases.get(session, reference).id
        return _delivery(use_cases.get_delivery(session, delivery_id, endpoint_id=endpoint_id))


@router.post(
    "/webhook-endpoints/{reference}/deliveries/{delivery_id}:redeliver",
    status_code=202,
    response_model=WebhookDelivery,
    summary="Send a message again",
)
def redeliver(reference: Reference, delivery_id: DeliveryId, state: State) -> Response:
    """Send the same message, with the same `webhook-id`, as a delivery of its own."""
    with state.catalog.read() as session:
        endpoint_id = use_cases.get(session, reference).id
    return _redeliver(state, delivery_id, endpoint_id=endpoint_id)


def _redeliver(
    state: ServiceState,
    delivery_id: str,
    *,
    endpoint_id: str | None = None,
    job_id: str | None = None,
) -> Response:
    with state.catalog.write() as session:
        row = use_cases.get_delivery(session, delivery_id, endpoint_id=endpoint_id, job_id=job_id)
        document = _delivery(use_cases.redeliver(session, row))
    return _accepted(document)


@router.get(
    "/jobs/{job_id}/deliveries", summary="Messages to the address that a job names, newest first"
)
def list_job_deliveries(
    job_id: str,
    state: State,
    status: StatusFilter = None,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> WebhookDeliveryPage:
    """What was sent to the `url` of the job's `webhook`; endpoints have lists of their own."""
    with state.catalog.read() as session:
        job_use_cases.get_job(session, job_id)
        rows = deliveries.list_deliveries(
            session,
            job_id=job_id,
            before=decode_token(page_token),
            limit=page_size + 1,
            status=status,
        )
    return _page(rows, page_size)


@router.get("/jobs/{job_id}/deliveries/{delivery_id}", summary="One message about a job")
def get_job_delivery(job_id: str, delivery_id: DeliveryId, state: State) -> WebhookDelivery:
    with state.catalog.read() as session:
        job_use_cases.get_job(session, job_id)
        return _delivery(use_cases.get_delivery(session, delivery_id, job_id=job_id))


@router.post(
    "/jobs/{job_id}/deliveries/{delivery_id}:redeliver",
    status_code=202,
    response_model=WebhookDelivery,
    summary="Send a message about a job again",
)
def redeliver_for_job(job_id: str, delivery_id: DeliveryId, state: State) -> Response:
    with state.catalog.read() as session:
        job_use_cases.get_job(session, job_id)
    return _redeliver(state, delivery_id, job_id=job_id)
