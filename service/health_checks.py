"""Checks that are waited for only so long: a database or a store that hangs hangs no answer."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import Final

CHECK_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Finding:
    """What a check found; `detail` says what is wrong, or will be."""

    is_well: bool
    detail: str | None = None
    workers: int = 0


@dataclass
class HealthChecks:
    """The checks of one API process; one that is still at it is not started again."""

    _running: dict[str, "Future[Finding]"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self, checks: dict[str, Callable[[], Finding]], seconds: float = CHECK_SECONDS
    ) -> dict[str, Finding]:
        """Run all checks at once; one that takes longer than `seconds` counts as failed."""
        with self._lock:
            futures = {name: self._started(name, check) for name, check in checks.items()}
        wait_for(futures.values(), timeout=seconds)
        late = Finding(False, f"No answer within {seconds:g} seconds.")
        return {name: f.result() if f.done() else late for name, f in futures.items()}

    def _started(self, name: str, check: Callable[[], Finding]) -> "Future[Finding]":
        running = self._running.get(name)
        if running is not None and not running.done():
            return running
        future: Future[Finding] = Future()
        self._running[name] = future
        threading.Thread(
            target=lambda: future.set_result(_guarded(check)), name=f"check-{name}", daemon=True
        ).start()
        return future


def _guarded(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # whatever it is, the check has failed
        return Finding(False, f"The check failed ({type(error).__name__}).")
