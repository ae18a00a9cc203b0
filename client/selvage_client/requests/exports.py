"""Exports: `/v1/exports`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api_schemas.exports import Export, ExportCreate, ExportPage, ExportReport, ExportRequest
from selvage_client.calls import (
    UPLOAD_ANSWER_SECONDS,
    Call,
    Listing,
    Page,
    delete,
    get,
    listing,
    post,
    segment,
)
from selvage_client.errors import invalid_fields

Source = Mapping[str, str]


def request_fields(
    export_format: str,
    source: Source,
    filters: Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the body of an export; what is not given is left to the service."""
    given = {"filters": filters, "options": options}
    fields = {name: dict(value) for name, value in given.items() if value}
    return {"format": export_format, "source": dict(source), **fields}


def create(
    fields: Mapping[str, Any], *, strict: bool, idempotency_key: str | None = None
) -> Call[Export]:
    """POST /v1/exports. Entries of `fields` that are None are left to the service."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        request = ExportCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("export", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    call = post("/v1/exports", Export.model_validate_json, content, idempotency_key)
    headers = {**call.headers, "Prefer": "handling=strict"} if strict else call.headers
    return replace(call, headers=headers)


def validate(fields: Mapping[str, Any]) -> Call[ExportReport]:
    """POST /v1/exports:validate."""
    try:
        request = ExportRequest.model_validate(dict(fields))
    except ValidationError as error:
        raise invalid_fields("export", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    call = post("/v1/exports:validate", ExportReport.model_validate_json, content, None)
    return replace(call, answer_seconds=UPLOAD_ANSWER_SECONDS)  # there may be many labels


def exports() -> Listing[Export]:
    """GET /v1/exports."""

    def parse(content: bytes) -> Page[Export]:
        page = ExportPage.model_validate_json(content)
        return Page(page.exports, page.next_page_token)

    return listing("/v1/exports", parse)


def export(export_id: str) -> Call[Export]:
    """GET /v1/exports/{id}."""
    return get(_path(export_id), Export.model_validate_json)


def file(export_id: str) -> Call[bytes]:
    """GET /v1/exports/{id}/file."""
    return get(f"{_path(export_id)}/file", bytes)


def cancel(export_id: str) -> Call[Export]:
    """POST /v1/exports/{id}:cancel."""
    return post(f"{_path(export_id)}:cancel", Export.model_validate_json, None, None)


def delete_export(export_id: str, *, force: bool = False) -> Call[None]:
    """DELETE /v1/exports/{id}."""
    return delete(_path(export_id), force=force)


def _path(export_id: str) -> str:
    return f"/v1/exports/{segment(export_id)}"
