"""API keys over HTTP: make, list, revoke."""

import time
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response

from api_schemas.api_keys import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyPage
from domain import api_keys as use_cases
from service import openapi
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.principals import Caller
from service.state import State
from storage.catalog import api_keys

router = APIRouter(prefix="/v1/api-keys", tags=["keys"])


@router.post(
    "",
    status_code=201,
    response_model=ApiKeyCreated,
    summary="Make an API key",
)
def create_key(
    request: Annotated[ApiKeyCreate, Body(openapi_examples=openapi.API_KEY_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make a key and show it once. From the first key on, every request needs one.

    A key can grant no more than it has. Where an Idempotency-Key makes this a repetition, the
    answer has all but the key itself: that is stored nowhere. Revoke it and make another one.
    """
    fingerprint = fingerprint_of("POST", "/v1/api-keys", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        row, secret = use_cases.create(
            session, request, created_by=caller.id, may_grant=caller.scopes
        )
        document = ApiKeyCreated(**use_cases.document_of(row, row.created_at), key=secret)
        location = document.links["self"]
        ticket.complete(session, 201, location, document.model_dump_json(exclude={"key"}))
    state.keys.forget()
    headers = {"Location": location, "Cache-Control": "no-store"}
    return Response(document.model_dump_json(), 201, headers, media_type="application/json")


@router.get("", summary="List API keys, newest first")
def list_keys(state: State, page_size: PageSize = 100, page_token: PageToken = None) -> ApiKeyPage:
    with state.catalog.read() as session:
        rows = api_keys.list_keys(session, decode_token(page_token), page_size + 1)
    now = time.time()
    more = len(rows) > page_size
    return ApiKeyPage(
        api_keys=[ApiKey(**use_cases.document_of(row, now)) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/{key_id}", summary="One API key")
def get_key(key_id: str, state: State) -> ApiKey:
    with state.catalog.read() as session:
        return ApiKey(**use_cases.document_of(use_cases.get_key(session, key_id), time.time()))


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
def revoke_key(key_id: str, state: State) -> Response:
    """Take a key back for good; what it made stays. Asking twice does no harm."""
    with state.catalog.write() as session:
        use_cases.revoke(session, key_id)
    state.keys.forget()
    return Response(status_code=204)
