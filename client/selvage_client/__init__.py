"""Python client of Selvage: images of a new domain in, segmentation pseudo-labels out."""

from api_schemas.webhook_signatures import SignatureMismatch
from selvage_client.async_client import AsyncSelvage
from selvage_client.downloads import DownloadReport
from selvage_client.errors import (
    InvalidInput,
    SelvageError,
    ServiceUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
)
from selvage_client.events import JobEvent
from selvage_client.retrying import RetryPolicy
from selvage_client.sync_client import Selvage
from selvage_client.webhook_messages import verify_webhook

__all__ = [
    "AsyncSelvage",
    "DownloadReport",
    "InvalidInput",
    "JobEvent",
    "RetryPolicy",
    "Selvage",
    "SelvageError",
    "ServiceUnreachable",
    "SignatureMismatch",
    "UnexpectedAnswer",
    "WaitTimeout",
    "verify_webhook",
]
