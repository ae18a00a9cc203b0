"""How often to look at a job."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from api_schemas.jobs import Job
from selvage_client.errors import wait_timeout

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0
GROWTH: Final = 1.3
HELD_SECONDS: Final = 20.0  # proxies often hang up after 30


def pauses_seconds() -> Iterator[float]:
    """Yield the pauses between looks: 0.1 s, growing to 1 s."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(LONGEST_PAUSE_SECONDS, pause * GROWTH)


class Watch:
    """Decides, for one watched job, what to report and when to look again."""

    def __init__(
        self, timeout_seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._started = clock()
        self._pauses = pauses_seconds()
        self._last: Job | None = None
        self._asked_at = 0.0
        self._asked_seconds = 0

    def changed(self, job: Job) -> bool:
        """Return whether this look differs from the one before."""
        changed = job != self._last
        self._last = job
        return changed

    def ask_seconds(self) -> int:
        """Return how long the service may hold back its answer while the job is not done."""
        self._asked_at = self._clock()
        self._asked_seconds = int(max(0.0, min(HELD_SECONDS, self._left_seconds())))
        return self._asked_seconds

    def pause_seconds(self, job: Job) -> float:
        """Return how long to sleep before the next look at a job that is not done.

        Raises:
            WaitTimeout: there is no time left.
        """
        left = self._left_seconds()
        if left <= 0:
            raise wait_timeout(job, self._timeout_seconds or 0.0)
        held = self._clock() - self._asked_at
        if self._asked_seconds and held >= self._asked_seconds / 2:
            return 0.0  # the service has waited for us
        return min(next(self._pauses), left)

    def _left_seconds(self) -> float:
        if self._timeout_seconds is None:
            return float("inf")
        return self._started + self._timeout_seconds - self._clock()
