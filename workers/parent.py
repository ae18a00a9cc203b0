"""The parent of a worker process: starts it, listens to its progress, restarts it. No torch.

`python -m workers.parent --device cpu` (a label worker), `--queue light` or `--queue training`. A
child that dies gives its chunk back at once through the catalog; a child that shows no progress for
too long is killed first. When this parent is killed, the child notices and stops, and the chunk's
lease runs out.
"""

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.ids import new_id
from domain.logs import set_up_logs
from domain.settings import Settings
from domain.sweep import bury_worker
from storage.catalog.engine import Catalog
from storage.queue import LABEL_QUEUE, LIGHT_QUEUE, TRAINING_QUEUE, Queue
from workers.progress import PROGRESS_FD_VARIABLE

log = structlog.get_logger("workers.parent")
CHILD_MODULES: Final = {
    LABEL_QUEUE: "workers.child",
    LIGHT_QUEUE: "workers.light_child",
    TRAINING_QUEUE: "workers.training_child",
}
LISTEN_SECONDS: Final = 0.2
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
HEALTHY_SECONDS: Final = 30.0


class Child:
    """One Celery process and the reading end of its progress pipe."""

    def __init__(self, queue: str, device: str) -> None:
        self.worker_id = new_id("wrk")
        self.state = "starting"
        self.counter = 0
        self.started_at = self.moved_at = self.heard_at = time.monotonic()
        self._buffer = b""
        self._read_fd, write_fd = os.pipe()
        environment = {
            **os.environ,
            "SELVAGE_DEVICE": device,
            "SELVAGE_WORKER_ID": self.worker_id,
            PROGRESS_FD_VARIABLE: str(write_fd),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", CHILD_MODULES[queue]], env=environment, pass_fds=[write_fd]
        )
        os.close(write_fd)
        os.set_blocking(self._read_fd, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read_fd, selectors.EVENT_READ)

    def listen(self, seconds: float) -> None:
        """Wait for a line at most `seconds`, and note what it says."""
        if not self._selector.select(seconds):
            return
        data = os.read(self._read_fd, 1 << 16)
        if not data:  # the child has closed its end: it is about to exit
            time.sleep(seconds)
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if lines:
            self.heard_at = time.monotonic()
            said = json.loads(lines[-1])
            if (said["state"], said["counter"]) != (self.state, self.counter):
                self.state, self.counter = said["state"], said["counter"]
                self.moved_at = self.heard_at

    def is_stuck(self, settings: Settings) -> bool:
        """Whether it has shown no progress for longer than its state allows.

        An idle one makes no progress, but it speaks; it is trusted in silence for a lease.
        """
        now = time.monotonic()
        if self.state == "idle":
            return now - self.heard_at > settings.lease_seconds
        if self.state == "working":
            return now - self.moved_at > settings.max_item_seconds
        return now - self.moved_at > settings.max_model_load_seconds

    def close(self) -> None:
        self._selector.close()
        os.close(self._read_fd)


class Parent:
    """Keeps one child alive until told to stop."""

    def __init__(self, settings: Settings, queue: str, device: str) -> None:
        self._settings = settings
        self._queue = queue
        self._device = device
        self._stopping = False

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def is_stopping(self) -> bool:
        """Whether a signal asked to stop; it may come at any moment."""
        return self._stopping

    def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self.is_stopping():
            child = Child(self._queue, self._device)
            self._watch(child)
            child.close()
            self._bury(child)
            if self.is_stopping():
                return
            if time.monotonic() - child.started_at > HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.warning(
                "the worker died; starting another",
                worker=child.worker_id,
                exit_code=child.process.returncode,
                pause_seconds=pause,
            )
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _sleep(self, seconds: float) -> None:
        """Sleep, but not through a request to stop."""
        end = time.monotonic() + seconds
        while not self.is_stopping() and time.monotonic() < end:
            time.sleep(LISTEN_SECONDS)

    def _watch(self, child: Child) -> None:
        """Return when the child has exited."""
        while child.process.poll() is None:
            child.listen(LISTEN_SECONDS)
            if self.is_stopping():
                self._end(child)
            elif child.is_stuck(self._settings):
                log.error(
                    "the worker shows no progress; killing it",
                    worker=child.worker_id,
                    state=child.state,
                )
                child.process.kill()
                child.process.wait()

    def _end(self, child: Child) -> None:
        child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(timeout=0.8 * self._settings.shutdown_seconds)
        except subprocess.TimeoutExpired:
            log.warning("the worker does not stop; killing it", worker=child.worker_id)
            child.process.kill()
            child.process.wait()

    def _bury(self, child: Child) -> None:
        """Give back at once what the child held; if that fails, the lease runs out by itself."""
        catalog = Catalog(self._settings.catalog_url)
        try:
            if bury_worker(catalog, child.worker_id, self._settings.max_worker_kills):
                Queue(self._settings.broker_url).wake()
        except SQLAlchemyError as error:
            log.warning("could not report the death of the worker", error=type(error).__name__)
        finally:
            catalog.close()


def main() -> None:
    """Parse the command line and keep a worker alive."""
    parser = argparse.ArgumentParser(prog="python -m workers.parent", description=__doc__)
    parser.add_argument(
        "--queue", default=LABEL_QUEUE, choices=sorted(CHILD_MODULES), help="what to work on"
    )
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:0 or auto")
    arguments = parser.parse_args()
    settings = Settings()
    set_up_logs(settings)
    parent = Parent(settings, arguments.queue, arguments.device or settings.device)
    signal.signal(signal.SIGTERM, parent.stop)
    signal.signal(signal.SIGINT, parent.stop)
    parent.run()


if __name__ == "__main__":
    main()
