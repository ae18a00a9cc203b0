"""The heartbeat of a worker: a thread that keeps its row and its lease alive.

It renews only while the item counter moves. A worker that hangs stops renewing, its chunk is taken
back, and its parent kills it.
"""

import os
import signal
import threading
import time
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from domain import leases
from domain.leases import LeaseLost
from storage.catalog.workers import add_worker, get_worker, see_worker
from workers.device_share import LOOK_SECONDS
from workers.facts import worker_facts
from workers.runtime import Runtime, log

TICK_SECONDS = 0.5
IDLE_EXIT_SECONDS = 3.0


class Heartbeat:
    """Beats from its own thread until stopped."""

    def __init__(self, runtime: Runtime, *, queue: str, host: str, device: str) -> None:
        self._runtime = runtime
        self._queue = queue
        self._host = host
        self._device = device
        self._stop = threading.Event()
        self._parent_pid = os.getppid()
        self._orphaned_at: float | None = None
        self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        beaten_at = time.monotonic()
        counter, moved_at = self._runtime.progress.counter, time.monotonic()
        while not self._stop.wait(TICK_SECONDS):
            now = time.monotonic()
            if self._runtime.progress.counter != counter:
                counter, moved_at = self._runtime.progress.counter, now
            self._watch_parent(now)
            self._make_room(now)
            if now - beaten_at >= self._runtime.settings.heartbeat_seconds:
                beaten_at = now
                self._beat_safely(still_for_seconds=now - moved_at)

    def _watch_parent(self, now: float) -> None:
        """Stop when the parent is gone: by a signal, and the hard way if that does not help.

        Celery does not look at its stop flag while it tries to reach a broker that is away.
        """
        if self._orphaned_at is None:
            if os.getppid() != self._parent_pid:
                self._orphaned_at = now
                os.kill(os.getpid(), signal.SIGTERM)
                with suppress(OSError):  # who read the log may be gone as well
                    log.error("the parent process is gone; stopping")
            return
        waited = now - self._orphaned_at
        is_idle = self._runtime.progress.state in ("idle", "starting")
        if waited > self._runtime.settings.shutdown_seconds or (
            is_idle and waited > IDLE_EXIT_SECONDS
        ):
            os._exit(1)

    def _make_room(self, now: float) -> None:
        """Let an idle worker notice that a training asks for its device."""
        share = self._runtime.share
        if share is None or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            share.look()
        except SQLAlchemyError as error:
            log.warning("could not look at the device", error=type(error).__name__)

    def _beat_safely(self, still_for_seconds: float) -> None:
        try:
            self._beat()
            if still_for_seconds <= self._allowed_stillness_seconds():
                self._renew()
        except SQLAlchemyError as error:
            log.warning("heartbeat failed; trying again", error=type(error).__name__)

    def _allowed_stillness_seconds(self) -> float:
        settings = self._runtime.settings
        if self._runtime.progress.state == "loading":
            return settings.max_model_load_seconds
        return settings.max_item_seconds

    def _beat(self) -> None:
        share = self._runtime.share
        with self._runtime.catalog.write() as session:
            if get_worker(session, self._runtime.worker_id) is None:
                add_worker(
                    session,
                    self._runtime.worker_id,
                    queue=self._queue,
                    host=self._host,
                    pid=os.getpid(),
                    device=self._device,
                    device_id=None if share is None else share.device_id,
                    facts=worker_facts(self._device),
                )
            else:
                see_worker(session, self._runtime.worker_id)

    def _renew(self) -> None:
        lease = self._runtime.lease
        if lease is None:
            return
        try:
            leases.renew(self._runtime.catalog, lease, self._runtime.settings.lease_seconds)
        except LeaseLost:
            log.warning("heartbeat: the lease is gone", chunk=lease.chunk_id)
