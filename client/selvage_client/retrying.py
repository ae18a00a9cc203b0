"""When a call is tried again, and after how long. No I/O: both transports are driven by this."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from pydantic import ValidationError

from api_schemas.problems import Problem
from selvage_client.errors import (
    STORE_REFUSED,
    SelvageError,
    ServiceUnreachable,
    UnexpectedAnswer,
    client_problem,
)

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
STORE_RETRIED_STATUSES: Final = RETRIED_STATUSES | {500}
# Somebody else is at it, often an earlier try of the same call: what it does becomes our answer.
IN_PROGRESS: Final = frozenset({"idempotency-in-progress", "upload-busy"})
TOO_MANY_STREAMS: Final = "too-many-streams"  # polling works at once, waiting may not
RETRIED_ERRORS: Final = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential back-off with jitter.

    Attributes:
        attempts: tries in all; 1 means no retry.
        first_contact_attempts: the same while nothing has ever answered at the address and
            connections are refused: most likely there is no service.
        first_delay_seconds: before the second try; doubles from try to try.
        longest_delay_seconds: bound of the doubling.
        in_progress_seconds: how long to ask again while the service still holds an earlier try of
            the same POST. A service that was killed over it lets go after a minute.
        longest_retry_after_seconds: a service that asks for more patience than this gets none:
            the error is raised at once, with `retry_after_seconds` in it.
    """

    attempts: int = 10
    first_contact_attempts: int = 5
    first_delay_seconds: float = 0.2
    longest_delay_seconds: float = 8.0
    in_progress_seconds: float = 120.0
    longest_retry_after_seconds: float = 60.0

    def delay_seconds(self, tried: int, jitter: float, retry_after_seconds: float | None) -> float:
        """Return the pause after `tried` (1, 2, …) tries; never less than Retry-After.

        Args:
            tried: how many tries have failed.
            jitter: in [0, 1); spreads the pause over its upper half.
            retry_after_seconds: what the service asked for.
        """
        backoff = min(self.longest_delay_seconds, self.first_delay_seconds * 2.0 ** (tried - 1))
        spread = backoff * (1 + jitter) / 2
        if retry_after_seconds is None:
            return spread
        return retry_after_seconds + spread


class Attempts:
    """The tries of one call. Each outcome is handed in; the pause before the next comes out."""

    def __init__(
        self,
        policy: RetryPolicy,
        url: str,
        what: str,
        *,
        answered_before: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._url = url
        self._what = what
        self._answered_before = answered_before
        self._clock = clock
        self._started = clock()
        self._tried = 0

    def after_error(self, error: httpx.TransportError, store: str | None = None) -> float:
        """Return the pause in seconds before the next try.

        Args:
            store: the object store that was asked, if it was not the service.

        Raises:
            ServiceUnreachable: there is none.
        """
        self._tried += 1
        allowed = self._policy.attempts
        if isinstance(error, httpx.ConnectError) and not (self._answered_before or store):
            allowed = min(allowed, self._policy.first_contact_attempts)
        if not isinstance(error, RETRIED_ERRORS) or self._tried >= allowed:
            raise unreachable(self._url, error, store) from error
        return self._policy.delay_seconds(self._tried, random.random(), None)

    def after_answer(self, response: httpx.Response, store: str | None = None) -> float | None:
        """Return None for a good answer, else the pause in seconds before the next try.

        Args:
            store: the object store that answered, if it was not the service.

        Raises:
            SelvageError: the answer is an error and there is no next try.
        """
        if response.is_success:
            return None
        self._tried += 1
        if store is None:
            problem = read_problem(response, self._url, self._what)
        else:
            problem = store_problem(response.status_code, store)
        retry_after = retry_after_seconds(response.headers.get("retry-after"), datetime.now(UTC))
        patient = (retry_after or 0.0) <= self._policy.longest_retry_after_seconds
        if not patient or not self._worth_another(response.status_code, problem.code):
            raise SelvageError(problem, retry_after)
        return self._policy.delay_seconds(self._tried, random.random(), retry_after)

    def _worth_another(self, status: int, code: str) -> bool:
        if code in IN_PROGRESS:
            return self._clock() - self._started < self._policy.in_progress_seconds
        if code == TOO_MANY_STREAMS:
            return False
        retried = STORE_RETRIED_STATUSES if code == STORE_REFUSED else RETRIED_STATUSES
        return status in retried and self._tried < self._policy.attempts


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110: seconds or a date)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def read_problem(response: httpx.Response, url: str, what: str) -> Problem:
    """Return the problem document of an error answer, or one that stands in for it."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        status = response.status_code
        return Problem(
            type="about:blank",
            title=f"HTTP {status} {response.reason_phrase}".strip(),
            status=status,
            detail=(
                f"'{what}' at {url} was not answered by a Selvage service. "
                "Check the address, and any proxy in between."
            ),
            code=f"http-{status}",
        )


def store_problem(status: int, store: str) -> Problem:
    """Return the problem for an object store that refuses; its own words hold addresses."""
    if status in (401, 403):
        what = "The link may have expired, or the clock of this machine or the store is wrong"
    else:
        what = "See the log of the store"
    return Problem(
        type="about:blank",
        title="The object store refused",
        status=status,
        detail=f"The object store at {store} answered {status}. {what}; then try again.",
        code=STORE_REFUSED,
    )


def unexpected_answer(url: str, what: str) -> UnexpectedAnswer:
    """Return the error for an answer that does not match the wire contract."""
    detail = (
        f"'{what}' at {url} was answered in a form that this client does not know. "
        "Check that a Selvage service listens there and that its version fits the client's."
    )
    return UnexpectedAnswer(client_problem("unexpected-answer", "Unexpected answer", detail))


def unreachable(
    url: str, error: httpx.TransportError, store: str | None = None
) -> ServiceUnreachable:
    """Return the error for an address that gives no answer, or stops in the middle of one."""
    if store is not None:
        detail = (
            f"The object store at {store} does not answer ({type(error).__name__}). The service at "
            f"{url} sends files by way of it: this machine must reach it as well."
        )
    elif isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        detail = (
            f"The service at {url} did not answer in time. "
            "See its log for what it is busy with, then try again with more patience."
        )
    else:
        detail = (
            f"No service answers at {url} ({error or type(error).__name__}). "
            "Start one with `selvage up`, or give the address of one (--url or SELVAGE_URL)."
        )
    return ServiceUnreachable(client_problem("service-unreachable", "No answer", detail))
