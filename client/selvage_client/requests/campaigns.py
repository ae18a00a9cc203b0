"""Campaigns: `/v1/campaigns`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from api_schemas.campaigns import Campaign, CampaignCreate, CampaignPage, Round, RoundPage
from selvage_client.calls import Call, Listing, Page, delete, get, listing, post, segment
from selvage_client.errors import invalid_fields
from selvage_client.requests.pipelines import pipeline_json


def create(fields: Mapping[str, Any], idempotency_key: str | None = None) -> Call[Campaign]:
    """POST /v1/campaigns. Entries of `fields` that are None are left to the service."""
    given = {name: _plain(value) for name, value in fields.items() if value is not None}
    if isinstance(given.get("source"), str):
        given["source"] = {"annotations": given["source"]}
    if "pipeline" in given:
        given["pipeline"] = pipeline_json(fields["pipeline"])
    try:
        request = CampaignCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("campaign", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    return post("/v1/campaigns", Campaign.model_validate_json, content, idempotency_key)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    return value


def campaigns() -> Listing[Campaign]:
    """GET /v1/campaigns."""

    def parse(content: bytes) -> Page[Campaign]:
        page = CampaignPage.model_validate_json(content)
        return Page(page.campaigns, page.next_page_token)

    return listing("/v1/campaigns", parse)


def campaign(campaign_id: str) -> Call[Campaign]:
    """GET /v1/campaigns/{id}."""
    return get(_path(campaign_id), Campaign.model_validate_json)


def rounds(campaign_id: str) -> Call[Sequence[Round]]:
    """GET /v1/campaigns/{id}/rounds."""

    def parse(content: bytes) -> Sequence[Round]:
        return RoundPage.model_validate_json(content).rounds

    return get(f"{_path(campaign_id)}/rounds", parse)


def round_of(campaign_id: str, number: int) -> Call[Round]:
    """GET /v1/campaigns/{id}/rounds/{n}."""
    return get(f"{_path(campaign_id)}/rounds/{number}", Round.model_validate_json)


def act(campaign_id: str, verb: Literal["pause", "resume", "stop"]) -> Call[Campaign]:
    """POST /v1/campaigns/{id}:verb."""
    return post(f"{_path(campaign_id)}:{verb}", Campaign.model_validate_json, None, None)


def delete_campaign(campaign_id: str, *, force: bool = False) -> Call[None]:
    """DELETE /v1/campaigns/{id}."""
    return delete(_path(campaign_id), force=force)


def _path(campaign_id: str) -> str:
    return f"/v1/campaigns/{segment(campaign_id)}"
