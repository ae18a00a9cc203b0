"""Connections: named places outside, with credentials that nobody gets to see again."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path
from fastapi.responses import Response

from api_schemas.connections import (
    Connection,
    ConnectionCheck,
    ConnectionCreate,
    ConnectionPage,
    ConnectionTest,
    ConnectionTestRequest,
    ConnectionUpdate,
)
from api_schemas.problems import ProblemError
from domain import connections as use_cases
from domain.secrets import SecretKeeper
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.principals import Caller
from service.state import ServiceState, State
from storage.catalog import connections
from storage.catalog.tables import ConnectionRow
from storage.remote.addresses import AddressPolicy
from storage.remote.sources import Check

router = APIRouter(prefix="/v1/connections", tags=["connections"])
# Somebody waits for the answer of a test.
TEST_LIMITS: Final = {"fetch_seconds": 15.0, "fetch_idle_seconds": 5.0}
Reference = Annotated[str, Path(description="Id or name of a connection")]
EXAMPLES: dict[str, Any] = {
    "bucket": {
        "summary": "A part of a bucket",
        "value": {
            "name": "lab-bucket",
            "kind": "s3",
            "config": {
                "bucket": "lab",
                "prefix": "street/",
                "endpoint": "https://minio.example.com",
                "access_key_id": "reader",
            },
            "secrets": {"secret_access_key": "…"},
        },
    },
    "web": {
        "summary": "A web server that asks for a token",
        "value": {
            "name": "exports",
            "kind": "http",
            "config": {"base_url": "https://data.example.com/exports/"},
            "secrets": {"bearer_token": "…"},
        },
    },
}
CHANGE_EXAMPLES: dict[str, Any] = {
    "secret": {
        "summary": "A new secret",
        "value": {"secrets": {"secret_access_key": "…"}},
    },
    "prefix": {"summary": "Another prefix", "value": {"config": {"prefix": "night/"}}},
}
TEST_EXAMPLES: dict[str, Any] = {
    "list": {"summary": "List, and read the first file", "value": {}},
    "file": {"summary": "Read this file", "value": {"key": "0001.png"}},
}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _rendered(row: ConnectionRow) -> Connection:
    last_test = None
    if row.test_result is not None and row.tested_at is not None:
        last_test = ConnectionTest.model_validate(
            {**row.test_result, "tested_at": _time(row.tested_at)}
        )
    base = f"/v1/connections/{row.id}"
    return Connection.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "kind": row.kind,
            "config": row.config,
            "secrets": sorted(use_cases.secrets_of(row)),
            "last_test": last_test,
            "created_at": _time(row.created_at),
            "created_by": row.created_by,
            "links": {"self": base, "test": f"{base}:test"},
        }
    )


def _policy(state: ServiceState) -> AddressPolicy:
    return AddressPolicy.parse(state.settings.fetch_allow_networks)


@router.post(
    "",
    status_code=201,
    response_model=Connection,
    summary="Store a place outside with its credentials",
)
def create_connection(
    request: Annotated[ConnectionCreate, Body(openapi_examples=EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a bucket or a web server by a name, which image sets and models refer to.

    Secrets are encrypted and never shown again. Nothing is asked for yet: see `:test`.
    """
    keeper = SecretKeeper(state.settings)
    content = request.model_dump(mode="json", exclude={"secrets"})
    given: dict[str, Any] = request.secrets.model_dump(exclude_none=True)
    if idempotency_key is not None and given:
        # a plain digest of a password would be a way to guess it
        revealed = {name: value.get_secret_value() for name, value in given.items()}
        content["secrets"] = keeper.fingerprint(revealed)
    fingerprint = fingerprint_of("POST", "/v1/connections", content)
    ticket = Ticket(state, idempotency_key, fingerprint)
    replayed = ticket.replay()
    if replayed is not None:
        return replayed
    with ticket, state.catalog.write() as session:
        row = use_cases.create(session, keeper, _policy(state), request, caller.id)
        document = _rendered(row)
        body, location = document.model_dump_json(), document.links["self"]
        ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("", summary="List connections by name")
def list_connections(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> ConnectionPage:
    with state.catalog.read() as session:
        rows = connections.list_connections(session, decode_token(page_token), page_size + 1)
    page = [_rendered(row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return ConnectionPage(
        connections=page, next_page_token=encode_token(page[-1].name) if more else None
    )


@router.get("/{reference}", summary="One connection")
def get_connection(reference: Reference, state: State) -> Connection:
    with state.catalog.read() as session:
        return _rendered(use_cases.get(session, reference))


@router.patch("/{reference}", summary="Change a connection")
def change_connection(
    reference: Reference,
    request: Annotated[ConnectionUpdate, Body(openapi_examples=CHANGE_EXAMPLES)],
    state: State,
) -> Connection:
    """Change what is given and keep the rest; null removes a field or a secret.

    A `base_url` on another server needs its secrets anew.
    """
    keeper = SecretKeeper(state.settings)
    with state.catalog.write() as session:
        return _rendered(use_cases.change(session, keeper, _policy(state), reference, request))


@router.delete("/{reference}", status_code=204, summary="Delete a connection")
def delete_connection(reference: Reference, state: State) -> Response:
    """Delete a connection with its credentials; 409 while a job that is not done reads from it."""
    with state.catalog.write() as session:
        use_cases.remove(session, reference)
    return Response(status_code=204)


@router.post("/{reference}:test", summary="Try a connection out")
def try_connection(
    reference: Reference,
    state: State,
    request: Annotated[ConnectionTestRequest | None, Body(openapi_examples=TEST_EXAMPLES)] = None,
) -> ConnectionTest:
    """List and read with the stored credentials, now; the answer says what works.

    A connection that does not work is an answer as well: 200 with `"ok": false`.
    """
    with state.catalog.read() as session:
        connection_id = use_cases.get(session, reference).id
    checks = _checks(state, connection_id, None if request is None else request.key)
    found = {
        "ok": all(check.problem is None for check in checks),
        "checks": [_rendered_check(check).model_dump(mode="json") for check in checks],
    }
    with state.catalog.write() as session:
        row = use_cases.lock(session, connection_id)
        connections.store_test(session, row.id, found)
        session.refresh(row)
        assert row.tested_at is not None
        return ConnectionTest.model_validate({**found, "tested_at": _time(row.tested_at)})


def _checks(state: ServiceState, connection_id: str, key: str | None) -> list[Check]:
    try:
        with use_cases.open_source(
            state.catalog, state.settings.model_copy(update=TEST_LIMITS), connection_id
        ) as source:
            return source.check(key)
    except ProblemError as problem:
        return [Check("secrets", problem, 0.0)]


def _rendered_check(check: Check) -> ConnectionCheck:
    return ConnectionCheck.model_validate(
        {
            "name": check.name,
            "ok": check.problem is None,
            "seconds": round(check.seconds, 3),
            "note": check.note,
            "problem": None if check.problem is None else check.problem.problem(),
        }
    )
