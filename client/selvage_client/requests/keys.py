"""API keys: `/v1/api-keys`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api_schemas.api_keys import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyPage, Quota, Scope
from selvage_client.calls import (
    Call,
    Listing,
    Moment,
    Page,
    delete,
    get,
    listing,
    moment,
    post,
    segment,
)
from selvage_client.errors import invalid_fields


def create(
    name: str,
    scopes: Sequence[Scope],
    expires_at: Moment | None = None,
    quota: Quota | Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[ApiKeyCreated]:
    """POST /v1/api-keys."""
    given = {
        "name": name,
        "scopes": list(scopes),
        "expires_at": moment("expires_at", expires_at),
        "quota": quota,
    }
    try:
        request = ApiKeyCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("key", error) from error
    content = request.model_dump(mode="json", exclude_none=True)
    return post("/v1/api-keys", ApiKeyCreated.model_validate_json, content, idempotency_key)


def keys() -> Listing[ApiKey]:
    """GET /v1/api-keys."""

    def parse(content: bytes) -> Page[ApiKey]:
        page = ApiKeyPage.model_validate_json(content)
        return Page(page.api_keys, page.next_page_token)

    return listing("/v1/api-keys", parse)


def key(key_id: str) -> Call[ApiKey]:
    """GET /v1/api-keys/{id}."""
    return get(f"/v1/api-keys/{segment(key_id)}", ApiKey.model_validate_json)


def revoke(key_id: str) -> Call[None]:
    """DELETE /v1/api-keys/{id}."""
    return delete(f"/v1/api-keys/{segment(key_id)}")
