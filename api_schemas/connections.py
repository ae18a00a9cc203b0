"""Connections: named places outside, with credentials that nobody gets to see again."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from api_schemas.json_types import Truth
from api_schemas.problems import Problem

ConnectionKind = Literal["s3", "http", "label_studio"]
ConnectionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64)
]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=8192)]
_HEADER_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"


class S3Config(BaseModel):
    """A bucket, or the part of one below `prefix`: keys are relative to it."""

    model_config = ConfigDict(extra="forbid")

    bucket: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", min_length=3, max_length=255
    )
    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+/?$",
        max_length=1024,
        description="`https://host:port` of a store; AWS without it",
    )
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,64}$")
    prefix: str = Field("", max_length=512, description="Where keys begin; ends in a slash")
    path_style: Truth | None = Field(
        None, description="The bucket in the path instead of the host; by default with an endpoint"
    )
    anonymous: Truth = Field(False, description="Do not sign: the bucket is public")
    access_key_id: str | None = Field(None, pattern=r"^[\x21-\x7e]{1,256}$")


class S3Secrets(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret_access_key: Secret | None = None
    session_token: Secret | None = None


class HttpConfig(BaseModel):
    """A web server below one address. Credentials go to URLs below `base_url` only."""

    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        max_length=2048,
        examples=["https://data.example.com/exports/"],
    )
    username: str | None = Field(
        None, pattern=r"^[\x20-\x39\x3b-\x7e]{1,256}$", description="Of the secret `password`"
    )
    header_name: str | None = Field(
        None,
        pattern=_HEADER_NAME,
        description="Header of the secret `header_value`",
        examples=["X-Api-Key"],
    )


class HttpSecrets(BaseModel):
    """One of the three."""

    model_config = ConfigDict(extra="forbid")

    bearer_token: Secret | None = Field(None, description="`Authorization: Bearer …`")
    password: Secret | None = Field(None, description="Basic authentication with `username`")
    header_value: Secret | None = Field(None, description="Value of the header `header_name`")


class LabelStudioConfig(BaseModel):
    """A Label Studio server. Its token goes to addresses below `base_url` only."""

    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
        max_length=2048,
        examples=["https://label-studio.example.com/"],
    )


class LabelStudioSecrets(BaseModel):
    model_config = ConfigDict(extra="forbid")

    access_token: Secret | None = Field(
        None, description="Needed: a legacy token, or a personal access token"
    )


class S3ConnectionCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: ConnectionName
    kind: Literal["s3"]
    config: S3Config
    secrets: S3Secrets = Field(default_factory=S3Secrets)


class HttpConnectionCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: ConnectionName
    kind: Literal["http"]
    config: HttpConfig
    secrets: HttpSecrets = Field(default_factory=HttpSecrets)


class LabelStudioConnectionCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: ConnectionName
    kind: Literal["label_studio"]
    config: LabelStudioConfig
    secrets: LabelStudioSecrets = Field(default_factory=LabelStudioSecrets)


ConnectionCreate = Annotated[
    S3ConnectionCreate | HttpConnectionCreate | LabelStudioConnectionCreate,
    Field(discriminator="kind"),
]


class ConnectionUpdate(BaseModel):
    """What changes. In `config` and `secrets` a field that is absent stays, and null removes it."""

    model_config = ConfigDict(extra="forbid")

    name: ConnectionName | None = None
    config: dict[str, Any] = Field(default_factory=dict, max_length=32)
    secrets: dict[str, Secret | None] = Field(default_factory=dict, max_length=32)


class ConnectionTestRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(
        None, min_length=1, max_length=2048, description="A file to read, as an image set names it"
    )


class ConnectionCheck(BaseModel):
    """One thing that a test tried."""

    name: Literal["secrets", "reach", "list", "read"]
    ok: bool
    seconds: float
    note: str = ""
    problem: Problem | None = None


class ConnectionTest(BaseModel):
    ok: bool
    checks: list[ConnectionCheck]
    tested_at: datetime


class Connection(BaseModel):
    id: str
    name: str
    kind: ConnectionKind
    config: S3Config | HttpConfig | LabelStudioConfig
    secrets: list[str] = Field(description="Names of the secrets that are set, never values")
    last_test: ConnectionTest | None = None
    created_at: datetime
    created_by: str
    links: dict[str, str]


class ConnectionPage(BaseModel):
    connections: list[Connection]
    next_page_token: str | None = None
