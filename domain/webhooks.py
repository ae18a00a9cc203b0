"""Webhook endpoints: create, change, delete, rotate the secret; look at deliveries, send again."""

import json
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import (
    FieldProblem,
    NotFound,
    QuotaExceeded,
    SourceRefused,
    StateConflict,
    ValidationProblem,
)
from api_schemas.webhook_signatures import new_secret
from api_schemas.webhooks import JobWebhook, WebhookEndpointCreate, WebhookEndpointUpdate
from domain import webhook_outbox
from domain.secrets import SecretKeeper
from storage.catalog import deliveries, webhooks
from storage.catalog.engine import db_now
from storage.catalog.tables import JobRow, WebhookDeliveryRow, WebhookEndpointRow
from storage.remote.addresses import AddressPolicy
from storage.remote.urls import parse_url

MAX_ENDPOINTS: Final = 100
CURRENT: Final = "current"
FORMER: Final = "former"


def get(session: Session, reference: str, *, lock: bool = False) -> WebhookEndpointRow:
    """Return an endpoint by id or name.

    Raises:
        NotFound: with what to do.
    """
    row = webhooks.find_endpoint(session, reference, lock=lock)
    if row is None:
        raise NotFound(
            f"There is no webhook endpoint '{reference[:80]}'. List them: "
            "GET /v1/webhook-endpoints."
        )
    return row


def create(
    session: Session,
    keeper: SecretKeeper,
    policy: AddressPolicy,
    request: WebhookEndpointCreate,
    created_by: str,
) -> tuple[WebhookEndpointRow, str]:
    """Store an endpoint; returns it with its secret, which is readable this once.

    Raises:
        StateConflict: the name is taken.
        ValidationProblem: messages do not go to this address.
        QuotaExceeded: there are too many endpoints.
    """
    check_url(policy, request.url)
    if webhooks.count_endpoints(session) >= MAX_ENDPOINTS:
        raise QuotaExceeded(f"There are {MAX_ENDPOINTS} webhook endpoints. Delete one first.")
    secret = request.secret.get_secret_value() if request.secret else new_secret()
    endpoint_id = new_id("whe")
    values = {
        "id": endpoint_id,
        "name": request.name,
        "url": request.url,
        "events": _without_doubles(request.events),
        "enabled": True,
        "secrets": _text(keeper.seal({CURRENT: secret})),
        "created_by": created_by,
    }
    if not webhooks.add_endpoint(session, values):
        raise _name_taken(request.name)
    return get(session, endpoint_id), secret


def change(
    session: Session, policy: AddressPolicy, reference: str, request: WebhookEndpointUpdate
) -> WebhookEndpointRow:
    """Change what is given; messages that wait go to the new address.

    Raises:
        NotFound, StateConflict, ValidationProblem: as for `get` and `create`.
    """
    row = get(session, reference, lock=True)
    if request.url is not None:
        check_url(policy, request.url)
        row.url = request.url
    if request.events is not None:
        row.events = _without_doubles(request.events)
    if request.enabled is not None:
        row.enabled, row.disabled_reason = request.enabled, None
    if request.name is not None:
        row.name = request.name
    try:
        session.flush()
    except IntegrityError as error:
        raise _name_taken(request.name or "") from error
    return row


def remove(session: Session, reference: str) -> None:
    """Delete an endpoint with its secrets; messages that wait are given up, the log stays.

    Raises:
        NotFound: there is none.
    """
    webhooks.delete_endpoint(session, get(session, reference, lock=True).id)


def rotate_secret(
    session: Session, keeper: SecretKeeper, reference: str, overlap_seconds: float
) -> tuple[WebhookEndpointRow, str]:
    """Give an endpoint a fresh secret; until the overlap ends the former one signs as well.

    Raises:
        NotFound: there is none.
        SecretsUnreadable: the former secret cannot be decrypted; with an overlap of 0 it is not
            needed.
    """
    row = get(session, reference, lock=True)
    secret = new_secret()
    kept = {CURRENT: secret}
    row.former_until = None
    if overlap_seconds > 0:
        kept[FORMER] = keeper.unseal(_sealed(row))[CURRENT]
        row.former_until = _now(session) + overlap_seconds
    row.secrets = _text(keeper.seal(kept))
    session.flush()
    return row, secret


def signing_secrets(session: Session, keeper: SecretKeeper, row: WebhookEndpointRow) -> list[str]:
    """Return the secrets that sign now, the current first.

    Raises:
        SecretsUnreadable: no key fits.
    """
    sealed = _sealed(row)
    if row.former_until is None or row.former_until <= _now(session):
        sealed = {CURRENT: sealed[CURRENT]}
    found = keeper.unseal(sealed)
    return [found[name] for name in (CURRENT, FORMER) if name in found]


def ping(session: Session, reference: str) -> WebhookDeliveryRow:
    """Write a message that says nothing but that it came through.

    Raises:
        NotFound: there is no such endpoint.
        StateConflict: it is switched off.
    """
    row = get(session, reference)
    _check_enabled(row)
    data = {"id": row.id, "name": row.name}
    return _delivery(session, webhook_outbox.publish_to(session, row.id, "webhook.ping", data))


def get_delivery(
    session: Session, delivery_id: str, *, endpoint_id: str | None = None, job_id: str | None = None
) -> WebhookDeliveryRow:
    """Return a delivery of an endpoint, or to the address that a job names.

    Raises:
        NotFound: there is none.
    """
    row = deliveries.get_delivery(session, delivery_id)
    if row is None or row.endpoint_id != endpoint_id or (job_id and row.job_id != job_id):
        raise NotFound(f"There is no delivery '{delivery_id[:80]}' here, or it is too old.")
    return row


def redeliver(session: Session, row: WebhookDeliveryRow) -> WebhookDeliveryRow:
    """Write a message again, as a delivery of its own with the same `webhook-id`.

    Raises:
        StateConflict: it is on its way, or its endpoint is switched off.
    """
    if row.status == "pending":
        raise StateConflict("This delivery has not ended; it is sent anyway.")
    if row.endpoint_id is not None:
        _check_enabled(get(session, row.endpoint_id))
    same = ("message_id", "endpoint_id", "job_id", "url", "target", "event", "body")
    again: dict[str, Any] = {name: getattr(row, name) for name in same}
    again |= {"id": new_id("dlv"), "redelivery_of": row.id}
    deliveries.add_deliveries(session, [again])
    return _delivery(session, again["id"])


def job_target(session: Session, asked: JobWebhook | None) -> dict[str, Any] | None:
    """Return what a job's row keeps of whom it tells.

    Raises:
        NotFound: there is no such endpoint.
    """
    if asked is None:
        return None
    if asked.url is not None:
        return {"url": asked.url, "events": list(asked.events)}
    row = get(session, asked.endpoint or "")
    return {"endpoint_id": row.id, "endpoint": row.name, "events": list(asked.events)}


def check_job(policy: AddressPolicy, job: JobRow) -> None:
    """Refuse a job that names an address which messages do not go to.

    Raises:
        ValidationProblem: with the address.
    """
    if job.webhook and job.webhook.get("url"):
        check_url(policy, job.webhook["url"], "/webhook/url")


def check_url(policy: AddressPolicy, url: str, pointer: str = "/url") -> None:
    """Refuse an address that is spelled out and not allowed; names are looked up when sending.

    Raises:
        ValidationProblem: why.
    """
    try:
        parse_url(url, policy)
    except SourceRefused as refused:
        raise ValidationProblem(
            f"Messages do not go to this address. {refused.detail}",
            errors=[FieldProblem(pointer=pointer, detail=refused.detail)],
        ) from refused


def reseal(keeper: SecretKeeper, row: WebhookEndpointRow) -> str:
    """Return an endpoint's secrets, encrypted under the first key.

    Raises:
        SecretsUnreadable: no key fits.
    """
    return _text(keeper.seal(keeper.unseal(_sealed(row))))


def _check_enabled(row: WebhookEndpointRow) -> None:
    if not row.enabled:
        raise StateConflict(
            f"The webhook endpoint '{row.name}' is switched off. Switch it on first: PATCH with "
            '{"enabled": true}.'
        )


def _delivery(session: Session, delivery_id: str) -> WebhookDeliveryRow:
    row = deliveries.get_delivery(session, delivery_id)
    assert row is not None
    session.refresh(row)
    return row


def _without_doubles(filters: list[Any]) -> list[str]:
    return list(dict.fromkeys(filters))


def _sealed(row: WebhookEndpointRow) -> dict[str, str]:
    found: dict[str, str] = json.loads(row.secrets)
    return found


def _text(sealed: dict[str, str]) -> str:
    return json.dumps(sealed, sort_keys=True)


def _now(session: Session) -> float:
    return session.scalar(select(db_now())) or 0.0


def _name_taken(name: str) -> StateConflict:
    return StateConflict(f"There is a webhook endpoint '{name}' already. Names are unique.")
