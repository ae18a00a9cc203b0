"""Holding on to a training: the leases of its chunk and its devices, and who wants it ended."""

import time
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from domain.leases import ClaimedChunk, Commit, LeaseLost, commit
from storage.catalog import devices
from workers.committing import Draining, JobOver
from workers.runtime import log
from workers.training.runtime import TrainingRuntime

TELL_SECONDS: Final = 0.5  # at most twice a second
LOOK_SECONDS: Final = 1.0
OVER: Final = ("cancelling", "cancelled", "failed", "expired", "succeeded", "partial")
SILENT_HEARTBEATS: Final = 3


class TrainingLease:
    """Called again and again by whatever takes long; raises when the work is to end."""

    def __init__(self, runtime: TrainingRuntime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._lease = claimed.lease
        self._epochs: dict[str, int] = {}
        self._told: dict[str, Any] | None = None
        self._told_at = float("-inf")
        self._heard_at = time.monotonic()
        self._renewed_at = float("-inf")

    def tick(self, training: dict[str, Any] | None = None) -> None:
        """Show life, tell how the training goes, and hear whether it is wanted.

        Args:
            training: the column of the job; told when its time has come, the newest wins.

        Raises:
            Draining: this process is to stop.
            JobOver: the job was cancelled, has failed, or its deadline has passed.
            LeaseLost: the chunk or a device is somebody else's by now.
        """
        self._runtime.progress.tick("working")
        if self._runtime.draining.is_set():
            raise Draining
        waited = time.monotonic() - self._told_at
        is_news = training is not None and training != self._told
        if waited < (TELL_SECONDS if is_news else LOOK_SECONDS):
            return
        news = dict(training) if training is not None and is_news else None
        if self.commit(Commit(job_changes={"training": news} if news else {})) and news:
            self._told = news

    def commit(self, work: Commit) -> bool:
        """Write under the lease, and renew it; a catalog that is away is waited for, for a lease.

        Returns:
            Whether it was written.

        Raises:
            JobOver, LeaseLost: as `tick`.
            SQLAlchemyError: the catalog is away, and `work` closes the chunk.
        """
        seconds = self._runtime.settings.lease_seconds
        self._told_at = time.monotonic()
        try:
            status = commit(self._runtime.catalog, self._lease, work, seconds)
            self._renew_devices(seconds)
        except SQLAlchemyError as error:
            if work.close or time.monotonic() - self._heard_at > seconds:
                raise
            log.warning("the catalog is away; the training goes on", error=type(error).__name__)
            return False
        self._heard_at = time.monotonic()
        if status in OVER and not work.close:
            raise JobOver(status)
        return True

    def take_devices(self, training: dict[str, Any]) -> None:
        """Return when the devices are ours alone.

        Raises:
            Draining, JobOver, LeaseLost: as `tick`.
        """
        for device_id in self._runtime.device_ids:
            while not self._take(device_id):
                self.tick(training)
                time.sleep(TELL_SECONDS / 2)
        while self._others_at_work():
            self.tick(training)
            time.sleep(TELL_SECONDS / 2)

    def release_devices(self) -> None:
        """Give the devices back; if that fails, their leases run out by themselves."""
        try:
            with self._runtime.catalog.write() as session:
                for device_id in self._epochs:
                    devices.release(session, device_id, self._runtime.worker_id)
        except SQLAlchemyError as error:
            log.warning("could not give the devices back", error=type(error).__name__)
        self._epochs.clear()
        self._runtime.queue.wake()

    def _take(self, device_id: str) -> bool:
        settings = self._runtime.settings
        with self._runtime.catalog.write() as session:
            epoch = devices.take(
                session, device_id, self._runtime.worker_id, settings.lease_seconds
            )
        if epoch is not None:
            self._epochs[device_id] = epoch
            self._renewed_at = time.monotonic()
        return epoch is not None

    def _others_at_work(self) -> bool:
        silent_seconds = SILENT_HEARTBEATS * self._runtime.settings.heartbeat_seconds
        with self._runtime.catalog.read() as session:
            return any(
                devices.count_at_work(
                    session, device_id, self._runtime.worker_id, epoch, silent_seconds
                )
                for device_id, epoch in self._epochs.items()
            )

    def _renew_devices(self, seconds: float) -> None:
        now = time.monotonic()
        if not self._epochs or now - self._renewed_at < self._runtime.settings.heartbeat_seconds:
            return
        with self._runtime.catalog.write() as session:
            for device_id, epoch in self._epochs.items():
                owner = self._runtime.worker_id
                if not devices.renew(session, device_id, owner, epoch, seconds):
                    raise LeaseLost(device_id)
        self._renewed_at = now
