"""Housekeeping: retention, uploads that expire, and the collector, a slice at a time.

The scheduler's process runs slices in a thread of its own (`HousekeepingThread`), so that a store
that answers slowly holds up no job. Several schedulers take turns by a lock; it only saves work,
for any number of slices may run at once.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.ids import new_id
from api_schemas.problems import ProblemError
from domain import uploads
from domain.collector import Collector
from domain.retention import DAY, HOUR, Retention
from domain.settings import Settings
from storage.catalog.engine import Catalog
from storage.catalog.workers import drop_lock, hold_lock
from storage.objects import Objects
from storage.units import shards

log = structlog.get_logger("housekeeping")
LOCK_NAME: Final = "housekeeping"
LOCK_SECONDS: Final = 120.0
SLICE_SECONDS: Final = 1.0


@dataclass
class Housekeeping:
    """What is left to do between two slices: the folders of the store yet to be looked at."""

    settings: Settings
    catalog: Catalog
    objects: Objects
    _shards: list[str] = field(default_factory=list)
    _next_pass_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.retention = Retention(self.catalog, self.settings)
        self.collector = Collector.of(self.settings, self.catalog, self.objects)

    def slice(self, seconds: float = SLICE_SECONDS) -> None:
        """Do some of everything, each for about so long.

        Raises:
            StorageUnavailable: the store failed; the next slice goes on.
        """
        gone = self.retention.slice(seconds)
        if gone:
            log.info(
                "removed what is over", **{name.replace(" ", "_"): n for name, n in gone.items()}
            )
        uploads.expire(self.catalog, self.objects, keep_hours=24 * self.settings.keep_deleted_days)
        self._delete(seconds)
        self._mark(seconds)

    def _delete(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            tally, looked_at = self.collector.delete_due()
            if tally.units:
                log.info("deleted unreachable objects", **dict(tally.units))
            if not looked_at:
                return

    def _mark(self, seconds: float) -> None:
        """Look through the next folders of the store; begin anew some hours after the last time."""
        if not self._shards:
            if time.monotonic() < self._next_pass_at:
                return
            self._next_pass_at = time.monotonic() + self.settings.collect_hours * HOUR
            self._shards = list(shards())
            # where a process that is often started anew gets to in the end
            random.shuffle(self._shards)
            # more than any upload takes: their rows end them before that
            self.objects.remove_unfinished(self.settings.upload_hours * HOUR + 2 * DAY)
        ends_at = time.monotonic() + seconds
        while self._shards and time.monotonic() < ends_at:
            tally = self.collector.mark(self._shards[-1])
            self._shards.pop()
            if tally.units:
                log.info("marked unreachable objects", **dict(tally.units))


class HousekeepingThread(threading.Thread):
    """Slices at intervals until `stop`; errors are logged, and the next slice tries again."""

    def __init__(self, settings: Settings, catalog: Catalog, objects: Objects) -> None:
        super().__init__(name="housekeeping", daemon=True)
        self._pause_seconds = settings.housekeeping_seconds
        self._catalog = catalog
        self._work = Housekeeping(settings, catalog, objects)
        self._owner = new_id("wrk")
        self._stopping = threading.Event()

    def run(self) -> None:
        if not self._pause_seconds:
            return
        while not self._stopping.wait(self._pause_seconds):
            try:
                self._slice()
            except (ProblemError, SQLAlchemyError, TimeoutError) as error:
                log.warning("housekeeping failed; trying again", error=str(error))
            except Exception as error:  # it must not end in silence while the process lives
                log.error("housekeeping failed; trying again", exc_info=error)

    def _slice(self) -> None:
        with self._catalog.write() as session:
            if not hold_lock(session, LOCK_NAME, self._owner, LOCK_SECONDS):
                return
        self._work.slice()

    def stop(self) -> None:
        """Let the slice at hand end, for a moment, and give the lock back."""
        self._stopping.set()
        if self.is_alive():
            self.join(timeout=5)
        with self._catalog.write() as session:
            drop_lock(session, LOCK_NAME, self._owner)
