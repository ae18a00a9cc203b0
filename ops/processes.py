"""Starting and killing processes so that none outlives the one that started it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1


def module_command(module: str, *args: str) -> tuple[str, ...]:
    """Return the command line that runs a module of ours with this interpreter."""
    return (sys.executable, "-m", module, *args)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment for modules of ours, with `more`.

    The working directory stays off the import path, also for what they start themselves: a user's
    folder may well hold something named `models`. Output is not held back, for the log.
    """
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **more}


def start_process(
    command: Sequence[str], env: Mapping[str, str], *, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session and process group of its own, without a terminal.

    On Linux the kernel kills it when the calling thread ends in whatever way, so call this from a
    thread that lives as long as the process shall.

    Args:
        command: program and arguments.
        env: the whole environment.
        stdout: as for `subprocess.Popen`; standard error goes the same way.
    """
    return subprocess.Popen(
        command,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=None if stdout is None else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_dying_with_this_process(),
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a process of `start_process` and to all that is left of its group."""
    # Nobody may be left; macOS says "not permitted" when only the unreaped leader is.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _dying_with_this_process() -> Callable[[], None] | None:
    """Return what the new process does before it runs its program; None where impossible."""
    if not sys.platform.startswith("linux"):
        return None
    libc: Any = ctypes.CDLL(None)
    parent_pid = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the kernel was told
            os._exit(1)

    return die_with_parent
