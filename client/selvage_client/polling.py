"""How often to look at a job."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from api_schemas.jobs import Job
from selvage_client.errors import wait_timeout

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0
GROWTH: Final = 1.3


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

    def changed(self, job: Job) -> bool:
        """Return whether this look differs from the one before."""
        changed = job != self._last
        self._last = job
        return changed

    def pause_seconds(self, job: Job) -> float:
        """Return how long to sleep before the next look at a job that is not done.

        Raises:
            WaitTimeout: there is no time left.
        """
        pause = next(self._pauses)
        if self._timeout_seconds is None:
            return pause
        left = self._started + self._timeout_seconds - self._clock()
        if left <= 0:
            raise wait_timeout(job, self._timeout_seconds)
        return min(pause, left)
