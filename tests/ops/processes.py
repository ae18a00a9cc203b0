"""Tiny child programs and waiting, for the tests of this folder."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]


def script(text: str) -> tuple[str, ...]:
    """Return the command line of a child that runs `text`."""
    return (sys.executable, "-S", "-c", text)


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def own_environment(**more: str) -> dict[str, str]:
    """Return this environment without the settings of a service, plus `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SELVAGE_")}
    return {**kept, **more}


def hear_signals() -> None:
    """For `preexec_fn`: a run in the background may have told its children to ignore these."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
