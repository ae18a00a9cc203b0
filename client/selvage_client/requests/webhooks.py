"""Webhooks: `/v1/webhook-endpoints`, and what was sent about a job.

What is sent may hold a secret in the clear, so errors are raised without the values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from api_schemas.webhooks import (
    DeliveryStatus,
    SecretRotation,
    WebhookDelivery,
    WebhookDeliveryPage,
    WebhookEndpoint,
    WebhookEndpointCreate,
    WebhookEndpointPage,
    WebhookEndpointUpdate,
    WebhookEndpointWithSecret,
)
from selvage_client.calls import Call, Listing, Page, delete, get, listing, post, segment
from selvage_client.errors import invalid_fields


def create(
    name: str,
    url: str,
    events: Sequence[str] | None,
    secret: str | None,
    idempotency_key: str | None,
) -> Call[WebhookEndpointWithSecret]:
    """POST /v1/webhook-endpoints."""
    wanted = None if events is None else list(events)
    given = {"name": name, "url": url, "events": wanted, "secret": secret}
    content = _checked(WebhookEndpointCreate, given)
    parse = WebhookEndpointWithSecret.model_validate_json
    return post("/v1/webhook-endpoints", parse, content, idempotency_key)


def endpoints() -> Listing[WebhookEndpoint]:
    """GET /v1/webhook-endpoints."""

    def parse(content: bytes) -> Page[WebhookEndpoint]:
        page = WebhookEndpointPage.model_validate_json(content)
        return Page(page.webhook_endpoints, page.next_page_token)

    return listing("/v1/webhook-endpoints", parse)


def endpoint(reference: str) -> Call[WebhookEndpoint]:
    """GET /v1/webhook-endpoints/{id or name}."""
    return get(_path(reference), WebhookEndpoint.model_validate_json)


def change(reference: str, fields: Mapping[str, Any]) -> Call[WebhookEndpoint]:
    """PATCH /v1/webhook-endpoints/{id or name}. Entries that are None stay as they are."""
    content = _checked(WebhookEndpointUpdate, fields)
    return Call("PATCH", _path(reference), WebhookEndpoint.model_validate_json, json=content)


def delete_endpoint(reference: str) -> Call[None]:
    """DELETE /v1/webhook-endpoints/{id or name}."""
    return delete(_path(reference))


def rotate_secret(reference: str, overlap_seconds: int | None) -> Call[WebhookEndpointWithSecret]:
    """POST /v1/webhook-endpoints/{id or name}:rotate-secret."""
    content = _checked(SecretRotation, {"overlap_seconds": overlap_seconds})
    parse = WebhookEndpointWithSecret.model_validate_json
    return post(f"{_path(reference)}:rotate-secret", parse, content, None)


def ping(reference: str) -> Call[WebhookDelivery]:
    """POST /v1/webhook-endpoints/{id or name}:ping."""
    return post(f"{_path(reference)}:ping", WebhookDelivery.model_validate_json, None, None)


def deliveries(
    of: str, status: DeliveryStatus | None, event: str | None = None
) -> Listing[WebhookDelivery]:
    """GET …/deliveries of an endpoint or a job."""

    def parse(content: bytes) -> Page[WebhookDelivery]:
        page = WebhookDeliveryPage.model_validate_json(content)
        return Page(page.deliveries, page.next_page_token)

    return listing(f"{_place(of)}/deliveries", parse, status=status, event=event)


def delivery(of: str, delivery_id: str) -> Call[WebhookDelivery]:
    """GET …/deliveries/{id} of an endpoint or a job."""
    path = f"{_place(of)}/deliveries/{segment(delivery_id)}"
    return get(path, WebhookDelivery.model_validate_json)


def redeliver(of: str, delivery_id: str) -> Call[WebhookDelivery]:
    """POST …/deliveries/{id}:redeliver of an endpoint or a job."""
    path = f"{_place(of)}/deliveries/{segment(delivery_id)}:redeliver"
    return post(path, WebhookDelivery.model_validate_json, None, None)


def _checked(kind: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        kind.model_validate(given)
    except ValidationError as error:
        # Not chained: the text of pydantic's own error shows the values.
        raise invalid_fields("webhook endpoint", error) from None
    return given


def _place(of: str) -> str:
    """The path of a job's id, or else of an endpoint."""
    return f"/v1/jobs/{segment(of)}" if of.startswith("job_") else _path(of)


def _path(reference: str) -> str:
    return f"/v1/webhook-endpoints/{segment(reference)}"
