"""A service that lives as long as a `with` block: for commands, notebooks and tests."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from domain.settings import Settings
from ops.announcement import read_announcement
from ops.processes import environment, module_command
from ops.readiness import is_ready
from ops.up import LOG_NAME

_READY_SECONDS = 180.0
_STOP_SECONDS = 120.0
_POLL_SECONDS = 0.1


class EmbeddedServiceFailed(Exception):
    """The service did not start; the message ends with the last lines of its log."""


@contextmanager
def embedded_service(data_dir: Path | None = None, **env: str) -> Iterator[str]:
    """Run `selvage up` on a free port for the time of the block; yield its address.

    A service that already runs on the same data folder is joined instead, and left running.
    The service also stops when this process dies.

    Args:
        data_dir: folder of the installation; default that of the settings.
        env: further environment variables, such as `SELVAGE_WORKERS="2"`.

    Raises:
        EmbeddedServiceFailed: it ended, or was not ready within three minutes.
    """
    folder = (data_dir or Settings().data_dir).absolute()
    running = read_announcement(folder)
    if running is not None and is_ready(running.url):
        yield running.url
        return
    with tempfile.TemporaryFile() as errors:
        process = _start(folder, env, errors)
        try:
            with Console(stderr=True).status("Starting the service …"):
                url = _wait_until_ready(process, folder, errors)
            yield url
        finally:
            _stop(process)


def _start(folder: Path, env: dict[str, str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        module_command("ops", "up", "--port", "0", "--quiet", "--until-stdin-closes"),
        env=environment(**env, SELVAGE_DATA_DIR=str(folder), SELVAGE_HOST="127.0.0.1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        # Ctrl-C is for the command; the service stops when the command has let go of it.
        start_new_session=True,
    )


def _wait_until_ready(process: subprocess.Popen[bytes], folder: Path, errors: IO[bytes]) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmbeddedServiceFailed(_last_words(errors, folder))
        announcement = read_announcement(folder)
        if announcement is not None and announcement.pid == process.pid:
            return announcement.url
        time.sleep(_POLL_SECONDS)
    raise EmbeddedServiceFailed(
        f"The service was not ready within {_READY_SECONDS:.0f} s.\n{_log_end(folder)}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its children die with it
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _last_words(errors: IO[bytes], folder: Path) -> str:
    errors.seek(0)
    said = errors.read().decode("utf-8", "replace").strip()
    return f"The service did not start. {said}\n{_log_end(folder)}".strip()


def _log_end(folder: Path, lines: int = 20) -> str:
    try:
        text = (folder / LOG_NAME).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
