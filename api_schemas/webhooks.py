"""Webhooks: who is told about what, and what became of each message."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from api_schemas.json_types import Integer, Truth
from api_schemas.webhook_signatures import key_of

JobEventType = Literal[
    "job.started",
    "job.progress",
    "job.succeeded",
    "job.partial",
    "job.failed",
    "job.cancelled",
    "job.expired",
]
EventType = (
    JobEventType
    | Literal[
        "image_set.ready",
        "round.completed",
        "model.promoted",
        "export.ready",
        "label.review_requested",
        "webhook.ping",
    ]
)
EventFilter = Literal[
    "*",
    "job.*",
    "job.started",
    "job.progress",
    "job.succeeded",
    "job.partial",
    "job.failed",
    "job.cancelled",
    "job.expired",
    "image_set.ready",
    "round.completed",
    "model.promoted",
    "export.ready",
    "label.review_requested",
]
JOB_ENDS: Final[tuple[JobEventType, ...]] = (
    "job.succeeded",
    "job.partial",
    "job.failed",
    "job.cancelled",
    "job.expired",
)
DeliveryStatus = Literal["pending", "delivered", "failed", "cancelled"]
AttemptOutcome = Literal["delivered", "retried", "failed", "cancelled"]
DAY: Final = 86_400

EndpointName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64),
    Field(examples=["ci"]),
]
WebhookUrl = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[^/?#@\s]+([/?][^#\s]*)?$", max_length=2048),
    Field(examples=["https://ci.example.com/hooks/selvage"]),
]
Filters = Annotated[list[EventFilter], Field(max_length=32)]


def _checked(secret: SecretStr) -> SecretStr:
    key_of(secret.get_secret_value())
    return secret


SigningSecret = Annotated[SecretStr, Field(max_length=128), AfterValidator(_checked)]


class JobWebhook(BaseModel):
    """Who is told about one job: give one of `endpoint` and `url`."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Name or id of a webhook endpoint: its address, signed with its secret",
        examples=["ci"],
    )
    url: WebhookUrl | None = Field(
        None, description="Any address; what is sent there is not signed"
    )
    events: Annotated[list[JobEventType], Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: list(JOB_ENDS), description="By default the ends of the job"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.endpoint is None) == (self.url is None):
            raise ValueError("give either `endpoint` or `url`")
        return self


class WebhookEndpointCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: EndpointName
    url: WebhookUrl
    events: Filters = Field(
        ["*"],
        description="What is sent; an empty list: only what jobs ask for by themselves",
    )
    secret: SigningSecret | None = Field(
        None, description="`whsec_` and 24 to 64 bytes in base64; by default a fresh one"
    )


class WebhookEndpointUpdate(BaseModel):
    """What changes; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    name: EndpointName | None = None
    url: WebhookUrl | None = None
    events: Filters | None = None
    enabled: Truth | None = None


class SecretRotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Integer = Field(
        DAY, ge=0, le=30 * DAY, description="For so long messages are signed with both secrets"
    )


class WebhookEndpoint(BaseModel):
    id: str
    name: str
    url: str
    events: list[EventFilter]
    enabled: bool
    disabled_reason: str | None = Field(None, description="Why the service switched it off")
    former_secret_until: datetime | None = Field(
        None, description="Until then messages carry a signature with the former secret as well"
    )
    created_at: datetime
    created_by: str
    links: dict[str, str]


class WebhookEndpointWithSecret(WebhookEndpoint):
    secret: str | None = Field(
        None, description="Shown this once; absent where an Idempotency-Key makes it a repetition"
    )


class WebhookEndpointPage(BaseModel):
    webhook_endpoints: list[WebhookEndpoint]
    next_page_token: str | None = None


class WebhookEvent(BaseModel):
    """The body of a message."""

    type: str = Field(description="One of `EventType`; later versions may send others")
    timestamp: datetime
    data: dict[str, Any]


class DeliveryAttempt(BaseModel):
    at: datetime
    seconds: float
    outcome: AttemptOutcome
    status_code: int | None = None
    detail: str = ""
    response: str | None = Field(None, description="The beginning of the answer's body")


class WebhookDelivery(BaseModel):
    """One message to one address."""

    id: str
    webhook_id: str = Field(description="The header `webhook-id`, the same at every attempt")
    endpoint: str | None = None
    job: str | None = None
    event: EventType
    status: DeliveryStatus
    attempts: list[DeliveryAttempt]
    next_attempt_at: datetime | None = None
    redelivery_of: str | None = None
    payload: WebhookEvent
    created_at: datetime
    finished_at: datetime | None = None
    links: dict[str, str]


class WebhookDeliveryPage(BaseModel):
    deliveries: list[WebhookDelivery]
    next_page_token: str | None = None
