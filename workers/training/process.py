"""The process that trains: started, asked to stop, killed. It knows nothing of this service."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from domain.device_names import VISIBLE_GPUS_VARIABLE
from workers.training.run_folder import RunFolder

STOPPED: Final = 75  # it was asked to, and has left a checkpoint
GAVE_UP: Final = 65  # and no repetition would help; error.json says why
DISK_FULL: Final = 74
_POLL_SECONDS: Final = 0.05
# addresses and passwords of the installation are no business of the process that trains
_HIDDEN_PREFIXES: Final = ("SELVAGE_", "AWS_", "OTEL_")


class TrainerProcess:
    """One process, or one group of them under `torchrun`.

    Args:
        run: its folder.
        module: what it runs.
        gpus: those it may use; none means the CPU.
        threads: of torch, in each process.
        lock: a descriptor that the process keeps open for as long as it lives.
    """

    def __init__(
        self, run: RunFolder, module: str, *, gpus: Sequence[str], threads: int, lock: int
    ) -> None:
        with run.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied_command(training_command(module, run, len(gpus)), len(gpus)),
                env=training_environment(os.environ, gpus, threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        self.pid = self._process.pid
        self.started_at = time.monotonic()

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Let it finish its step and leave a checkpoint."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float, show_life: Callable[[], None]) -> int | None:
        """Return the exit code, or None if it still runs after `seconds`.

        Args:
            seconds: the longest wait.
            show_life: called again and again meanwhile.
        """
        until = time.monotonic() + seconds
        while (code := self._process.poll()) is None and time.monotonic() < until:
            show_life()
            time.sleep(_POLL_SECONDS)
        return code

    def kill(self) -> None:
        """End it and all that it started, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def training_command(module: str, run: RunFolder, processes: int) -> list[str]:
    """Return the command line, which is that of `torchrun` for more than one GPU."""
    program = [sys.executable, "-m"]
    if processes > 1:
        program += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    return [*program, module, str(run.path)]


def tied_command(command: list[str], processes: int) -> list[str]:
    """Return a command line that runs another one, and has it end with this process.

    `torchrun` must be asked, so that it ends its own processes.
    """
    number = signal.SIGTERM if processes > 1 else signal.SIGKILL
    tie = [sys.executable, "-m", "workers.training.tied_process", str(os.getpid())]
    return [*tie, str(int(number)), *command]


def training_environment(
    own: Mapping[str, str], gpus: Sequence[str], threads: int
) -> dict[str, str]:
    """Return the environment of the process: ours, without what must not get out of here."""
    kept = {name: value for name, value in own.items() if not name.startswith(_HIDDEN_PREFIXES)}
    return {
        **kept,
        VISIBLE_GPUS_VARIABLE: ",".join(gpus),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
    }


def last_words(run: RunFolder, max_bytes: int = 2000) -> str:
    """Return the end of what the process has written, for the log."""
    try:
        with run.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - max_bytes))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
