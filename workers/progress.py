"""How far a worker process is, told to its parent through a pipe.

The parent kills a child whose counter stands still for too long. It does not ask the child's
clock: it notes when a line came.
"""

import json
import os
import threading
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["starting", "idle", "loading", "working"]
PROGRESS_FD_VARIABLE: Final = "SELVAGE_PROGRESS_FD"


@dataclass
class Progress:
    """The child's side. `tick` is called after each step that shows life."""

    fd: int | None = None
    state: State = "starting"
    counter: int = 0
    worker_id: str = ""

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
            line = json.dumps({"state": state, "counter": self.counter, "worker": self.worker_id})
        if self.fd is None:
            return
        try:
            os.write(self.fd, line.encode() + b"\n")
        except BlockingIOError:
            return  # the parent is slow to read; a later line says the same
        except BrokenPipeError:
            self.fd = None  # the parent is gone; the heartbeat thread ends this process
