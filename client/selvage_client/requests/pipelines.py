"""Named pipelines: `/v1/pipelines`, and what a pipeline may be given as."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api_schemas.pipelines import (
    PipelineConfig,
    PipelineCreate,
    PipelinePage,
    PipelineVersion,
    PipelineVersionPage,
)
from selvage_client.calls import Call, Listing, Page, get, listing, post, segment
from selvage_client.errors import invalid_fields

# A configuration, or the name of a stored one.
Pipeline = PipelineConfig | Mapping[str, Any] | str


def pipeline_json(pipeline: Pipeline) -> dict[str, Any] | str:
    """Return a pipeline as plain JSON, without what the caller left to the service.

    Raises:
        InvalidInput: it does not fit the wire contract.
    """
    if isinstance(pipeline, str):
        return pipeline
    if isinstance(pipeline, PipelineConfig):
        config = pipeline
    else:
        try:
            config = PipelineConfig.model_validate(dict(pipeline))
        except ValidationError as error:
            raise invalid_fields("pipeline", error) from error
    return config.model_dump(mode="json", exclude_unset=True)


def create(
    name: str,
    config: PipelineConfig | Mapping[str, Any],
    description: str | None,
    idempotency_key: str | None,
) -> Call[PipelineVersion]:
    """POST /v1/pipelines."""
    given = {"name": name, "config": pipeline_json(config), "description": description}
    try:
        request = PipelineCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("pipeline", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    return post("/v1/pipelines", PipelineVersion.model_validate_json, content, idempotency_key)


def pipelines() -> Listing[PipelineVersion]:
    """GET /v1/pipelines."""

    def parse(content: bytes) -> Page[PipelineVersion]:
        page = PipelinePage.model_validate_json(content)
        return Page(page.pipelines, page.next_page_token)

    return listing("/v1/pipelines", parse)


def pipeline(name: str) -> Call[PipelineVersion]:
    """GET /v1/pipelines/{name}: the latest version."""
    return get(f"/v1/pipelines/{segment(name)}", PipelineVersion.model_validate_json)


def versions(name: str) -> Listing[PipelineVersion]:
    """GET /v1/pipelines/{name}/versions."""

    def parse(content: bytes) -> Page[PipelineVersion]:
        page = PipelineVersionPage.model_validate_json(content)
        return Page(page.versions, page.next_page_token)

    return listing(f"/v1/pipelines/{segment(name)}/versions", parse)


def version(name: str, number: int) -> Call[PipelineVersion]:
    """GET /v1/pipelines/{name}/versions/{n}."""
    path = f"/v1/pipelines/{segment(name)}/versions/{number}"
    return get(path, PipelineVersion.model_validate_json)
