"""Integrations: `/v1/integrations`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api_schemas.integrations import Integration, IntegrationCreate, IntegrationPage
from selvage_client.calls import Call, delete, get, post, segment
from selvage_client.errors import invalid_fields


def create(fields: Mapping[str, Any], idempotency_key: str | None) -> Call[Integration]:
    """POST /v1/integrations. Entries of `fields` that are None are left to the service."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        request = IntegrationCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("integration", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    return post("/v1/integrations", Integration.model_validate_json, content, idempotency_key)


def integrations() -> Call[IntegrationPage]:
    """GET /v1/integrations."""
    return get("/v1/integrations", IntegrationPage.model_validate_json)


def integration(name: str) -> Call[Integration]:
    """GET /v1/integrations/{name}."""
    return get(f"/v1/integrations/{segment(name)}", Integration.model_validate_json)


def delete_integration(name: str) -> Call[None]:
    """DELETE /v1/integrations/{name}."""
    return delete(f"/v1/integrations/{segment(name)}")
