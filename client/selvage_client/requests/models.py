"""Models: `/v1/models`."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from api_schemas.jobs import Job
from api_schemas.models import Model, ModelPage, ModelVersion, ModelVersionCreate, ModelVersionPage
from selvage_client.calls import Call, Listing, Page, delete, get, listing, post, segment, upload
from selvage_client.errors import invalid_fields
from selvage_client.multipart import BytesProgress, FilePart, MultipartBody


def models() -> Listing[Model]:
    """GET /v1/models."""

    def parse(content: bytes) -> Page[Model]:
        page = ModelPage.model_validate_json(content)
        return Page(page.models, page.next_page_token)

    return listing("/v1/models", parse)


def model(name: str) -> Call[Model]:
    """GET /v1/models/{name}."""
    return get(f"/v1/models/{segment(name)}", Model.model_validate_json)


def versions(name: str) -> Call[list[ModelVersion]]:
    """GET /v1/models/{name}/versions."""
    return get(
        f"/v1/models/{segment(name)}/versions",
        lambda content: ModelVersionPage.model_validate_json(content).versions,
    )


def version(name: str, number: int) -> Call[ModelVersion]:
    """GET /v1/models/{name}/versions/{n}."""
    return get(version_path(name, number), ModelVersion.model_validate_json)


def upload_model(
    part: FilePart,
    name: str,
    *,
    promote: bool = False,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    on_bytes: BytesProgress | None = None,
) -> Call[Job]:
    """POST /v1/models/{name}/versions with the archive."""
    fields = [("promote", "true")] if promote else []
    if metadata:
        fields.append(("metadata", json.dumps(dict(metadata))))
    body = MultipartBody(fields, [("file", part)], on_bytes)
    path = f"/v1/models/{segment(name)}/versions"
    return upload(path, Job.model_validate_json, body, idempotency_key)


def create_version(
    name: str,
    source: Mapping[str, Any] | BaseModel,
    *,
    promote: bool = False,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[Job]:
    """POST /v1/models/{name}/versions with where the files are.

    Raises:
        InvalidInput: the source does not fit the wire contract.
    """
    given = {"source": source, "promote": promote, "metadata": dict(metadata or {})}
    try:
        request = ModelVersionCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("model version", error) from error
    path = f"/v1/models/{segment(name)}/versions"
    content = request.model_dump(mode="json")
    return post(path, Job.model_validate_json, content, idempotency_key)


def promote(name: str, number: int) -> Call[Model]:
    """POST /v1/models/{name}/versions/{n}:promote."""
    return post(f"{version_path(name, number)}:promote", Model.model_validate_json, None, None)


def delete_version(name: str, number: int, *, force: bool) -> Call[None]:
    """DELETE /v1/models/{name}/versions/{n}."""
    return delete(version_path(name, number), force=force)


def version_path(name: str, number: int) -> str:
    """Return the path of a version."""
    return f"/v1/models/{segment(name)}/versions/{number}"
