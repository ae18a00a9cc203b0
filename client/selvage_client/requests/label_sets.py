"""Label sets: `/v1/label-sets`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api_schemas.label_sets import (
    LabelSet,
    LabelSetCreate,
    LabelSetEntry,
    LabelSetEntryPage,
    LabelSetPage,
)
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


def create(fields: Mapping[str, Any], idempotency_key: str | None = None) -> Call[LabelSet]:
    """POST /v1/label-sets. Entries of `fields` that are None are left to the service."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        request = LabelSetCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("label set", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    call = post("/v1/label-sets", LabelSet.model_validate_json, content, idempotency_key)
    return replace(call, answer_seconds=UPLOAD_ANSWER_SECONDS)  # there may be many labels


def label_sets() -> Listing[LabelSet]:
    """GET /v1/label-sets."""

    def parse(content: bytes) -> Page[LabelSet]:
        page = LabelSetPage.model_validate_json(content)
        return Page(page.label_sets, page.next_page_token)

    return listing("/v1/label-sets", parse)


def label_set(label_set_id: str) -> Call[LabelSet]:
    """GET /v1/label-sets/{id}."""
    return get(_path(label_set_id), LabelSet.model_validate_json)


def entries(label_set_id: str) -> Listing[LabelSetEntry]:
    """GET /v1/label-sets/{id}/entries."""

    def parse(content: bytes) -> Page[LabelSetEntry]:
        page = LabelSetEntryPage.model_validate_json(content)
        return Page(page.entries, page.next_page_token)

    return listing(f"{_path(label_set_id)}/entries", parse)


def delete_label_set(label_set_id: str, *, force: bool = False) -> Call[None]:
    """DELETE /v1/label-sets/{id}."""
    return delete(_path(label_set_id), force=force)


def _path(label_set_id: str) -> str:
    return f"/v1/label-sets/{segment(label_set_id)}"
