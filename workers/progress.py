"""How far a worker process is, told to its parent through a pipe.

The parent kills a child whose counter stands still for too long, and one from which nothing at all
comes: an idle worker may be stopped in the middle of a transaction, and then it holds up everyone.
The parent does not ask the child's clock: it notes when a line came.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["starting", "idle", "loading", "working"]
PROGRESS_FD_VARIABLE: Final = "SELVAGE_PROGRESS_FD"
PULSE_SECONDS: Final = 0.5


@dataclass
class Progress:
    """The child's side. `tick` is called after each step that shows life."""

    fd: int | None = None
    state: State = "starting"
    counter: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> "Progress":
        """Open the pipe that the parent handed down, if there is one."""
        value = os.environ.get(PROGRESS_FD_VARIABLE)
        if value is None:
            return cls()
        os.set_blocking(int(value), False)
        return cls(fd=int(value))

    def tick(self, state: State) -> None:
        """Note one step forward."""
        with self._lock:
            self.state = state
            self.counter += 1
        self._tell()

    def start_pulse(self) -> None:
        """Repeat the last line from a thread of its own, which never waits for anything else."""
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()

    def _pulse(self) -> None:
        while self.fd is not None:
            self._tell()
            time.sleep(PULSE_SECONDS)

    def _tell(self) -> None:
        with self._lock:
            fd, line = self.fd, json.dumps({"state": self.state, "counter": self.counter})
        if fd is None:
            return
        try:
            os.write(fd, line.encode() + b"\n")
        except BlockingIOError:
            return  # the parent is slow to read; a later line says the same
        except BrokenPipeError:
            self.fd = None  # the parent is gone; the heartbeat thread ends this process
