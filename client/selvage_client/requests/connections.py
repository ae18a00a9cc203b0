"""Connections: `/v1/connections`.

What is sent holds secrets in the clear, so errors are raised without the values that caused them.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from api_schemas.connections import (
    Connection,
    ConnectionCreate,
    ConnectionKind,
    ConnectionPage,
    ConnectionTest,
    ConnectionUpdate,
)
from selvage_client.calls import Call, Listing, Page, delete, get, listing, post, segment
from selvage_client.errors import invalid_fields

TEST_ANSWER_SECONDS: Final = 120.0
_CREATE: Final[TypeAdapter[Any]] = TypeAdapter(ConnectionCreate)


def create(
    name: str,
    kind: ConnectionKind,
    config: Mapping[str, Any] | BaseModel,
    secrets: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[Connection]:
    """POST /v1/connections."""
    if isinstance(config, BaseModel):
        config = config.model_dump(mode="json", exclude_unset=True)
    content = {"name": name, "kind": kind, "config": dict(config), "secrets": dict(secrets or {})}
    _check(_CREATE, content)
    return post("/v1/connections", Connection.model_validate_json, content, idempotency_key)


def connections() -> Listing[Connection]:
    """GET /v1/connections."""

    def parse(content: bytes) -> Page[Connection]:
        page = ConnectionPage.model_validate_json(content)
        return Page(page.connections, page.next_page_token)

    return listing("/v1/connections", parse)


def connection(reference: str) -> Call[Connection]:
    """GET /v1/connections/{id or name}."""
    return get(_path(reference), Connection.model_validate_json)


def change(
    reference: str,
    name: str | None,
    config: Mapping[str, Any] | None,
    secrets: Mapping[str, str | None] | None,
) -> Call[Connection]:
    """PATCH /v1/connections/{id or name}: what is given changes, None inside removes."""
    given = {"name": name, "config": config, "secrets": secrets}
    content = {field: value for field, value in given.items() if value is not None}
    _check(TypeAdapter(ConnectionUpdate), content)
    return Call("PATCH", _path(reference), Connection.model_validate_json, json=content)


def test(reference: str, key: str | None) -> Call[ConnectionTest]:
    """POST /v1/connections/{id or name}:test."""
    content = None if key is None else {"key": key}
    call = post(f"{_path(reference)}:test", ConnectionTest.model_validate_json, content, None)
    return Call(
        call.method,
        call.path,
        call.parse,
        json=call.json,
        headers=call.headers,
        answer_seconds=TEST_ANSWER_SECONDS,
    )


def delete_connection(reference: str) -> Call[None]:
    """DELETE /v1/connections/{id or name}."""
    return delete(_path(reference))


def _check(adapter: TypeAdapter[Any], content: Mapping[str, Any]) -> None:
    try:
        adapter.validate_python(content)
    except ValidationError as error:
        # Not chained: the text of pydantic's own error shows the values.
        raise invalid_fields("connection", error) from None


def _path(reference: str) -> str:
    return f"/v1/connections/{segment(reference)}"
