"""Python client of Selvage: images of a new domain in, segmentation pseudo-labels out."""

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

__all__ = [
    "AsyncSelvage",
    "DownloadReport",
    "InvalidInput",
    "JobEvent",
    "RetryPolicy",
    "Selvage",
    "SelvageError",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "WaitTimeout",
]
