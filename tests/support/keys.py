"""API keys for tests: straight into the catalog, and as headers."""

from typing import Any

from api_schemas.api_keys import ApiKeyCreate
from domain import api_keys
from storage.catalog.engine import Catalog


def make_key(catalog: Catalog, *scopes: str, **fields: Any) -> tuple[str, dict[str, str]]:
    """Make a key; return its id and the headers that carry it."""
    request = ApiKeyCreate(name=fields.pop("name", "test"), scopes=list(scopes), **fields)
    with catalog.write() as session:
        row, secret = api_keys.create(session, request, created_by="local")
        return row.id, bearer(secret)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
