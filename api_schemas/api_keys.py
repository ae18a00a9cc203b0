"""API keys: who may do what, and how much of it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from api_schemas.json_types import Integer, Number

Scope = Literal["read", "write", "train", "admin"]
KeyName = Annotated[
    str, StringConstraints(min_length=1, max_length=128), Field(examples=["nightly import"])
]


class Quota(BaseModel):
    """Limits of one key; null leaves a limit to the settings of the installation."""

    model_config = ConfigDict(extra="forbid")

    jobs: Integer | None = Field(None, ge=0, lt=2**53, description="Unfinished jobs")
    queued_images: Integer | None = Field(
        None, ge=0, lt=2**53, description="Unfinished images of its jobs"
    )
    stored_bytes_per_day: Integer | None = Field(
        None, ge=0, lt=2**53, description="Bytes uploaded on one day (UTC)"
    )
    device_seconds_per_day: Number | None = Field(
        None, ge=0, lt=2**53, description="Seconds of work by all workers on one day (UTC)"
    )


class ApiKeyCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: KeyName
    scopes: list[Scope] = Field(
        min_length=1, max_length=4, description="write includes read; admin includes all"
    )
    expires_at: AwareDatetime | None = Field(None, description="Not valid from then on")
    quota: Quota | None = None


class ApiKey(BaseModel):
    """An API key without its secret, of which only a hash is kept."""

    id: str
    name: str
    hint: str = Field(description="The first characters of the key")
    scopes: list[Scope]
    quota: Quota | None = None
    status: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = Field(None, description="Exact to a minute")
    links: dict[str, str]


class ApiKeyCreated(ApiKey):
    """The one answer that holds the key itself."""

    key: str | None = Field(
        None,
        description="Send as `Authorization: Bearer …`. Shown this once; null in a replayed answer",
    )


class ApiKeyPage(BaseModel):
    api_keys: list[ApiKey]
    next_page_token: str | None = None


class Use(BaseModel):
    """What counts against the limits of the same names."""

    jobs: int
    queued_images: int
    stored_bytes_per_day: int = Field(description="Today")
    device_seconds_per_day: float = Field(description="Today")


class QuotaReport(BaseModel):
    """Limits and use of the caller; a limit that is null does not exist."""

    principal: str = Field(description="Id of the API key; `local` without keys")
    name: str
    scopes: list[Scope] = Field(description="With those that are included in others")
    limits: Quota
    used: Use
    day: str = Field(examples=["2026-11-20"], description="UTC")
    resets_at: datetime = Field(description="When the daily limits start anew")
