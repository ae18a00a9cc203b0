"""What an answer to a webhook means, and when the next attempt is due. No I/O."""

import random
from dataclasses import dataclass
from typing import Final

from api_schemas.webhooks import AttemptOutcome, DeliveryStatus
from domain.settings import Settings
from storage.remote.addresses import AddressPolicy

ALLOW_SETTING: Final = "SELVAGE_WEBHOOK_ALLOW_NETWORKS"
# Pauses before the second, third, … attempt; after the last of them a delivery has failed.
PAUSES_SECONDS: Final = (5.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)
MAX_ATTEMPTS: Final = len(PAUSES_SECONDS) + 1
JITTER: Final = 0.1  # of a pause, to either side
MAX_RETRY_AFTER_SECONDS: Final = 7200.0
GONE: Final = 410
_PASSING: Final = frozenset({408, 429, *range(500, 600)})


@dataclass(frozen=True)
class Verdict:
    """What becomes of a delivery; `next_in_seconds` where it is tried again."""

    outcome: AttemptOutcome
    status: DeliveryStatus
    next_in_seconds: float | None = None


def after_answer(status: int, attempts: int, retry_after: str | None = None) -> Verdict:
    """Judge an answer.

    Args:
        attempts: how many there were, with this one.
        retry_after: the header, if it came.
    """
    if 200 <= status < 300:
        return Verdict("delivered", "delivered")
    if status in _PASSING:
        return after_silence(attempts, _seconds(retry_after))
    return Verdict("failed", "failed")


def after_silence(attempts: int, at_least_seconds: float = 0.0) -> Verdict:
    """Judge an attempt after which another one may help."""
    if attempts >= MAX_ATTEMPTS:
        return Verdict("failed", "failed")
    pause = PAUSES_SECONDS[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)
    return Verdict("retried", "pending", max(pause, at_least_seconds))


def _seconds(retry_after: str | None) -> float:
    text = (retry_after or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return 0.0
    return min(float(text), MAX_RETRY_AFTER_SECONDS)


def explain(status: int) -> str:
    """Return what an answer other than 2xx means here."""
    if status == GONE:
        return "The address wants no more messages (410)."
    if 300 <= status < 400:
        return f"It answered {status}; redirects are not followed. Give the final address."
    return f"It answered {status}."


def policy_of(settings: Settings) -> AddressPolicy:
    """Return which addresses messages go to."""
    return AddressPolicy.parse(settings.webhook_allow_networks, ALLOW_SETTING)
