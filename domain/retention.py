"""Retention: rows that are too old, or behind something deleted, go in batches.

Each step is one transaction of at most 500 rows. `Retention.slice` does one of each kind in turn,
again and again while it has time, so that a deleted job of a million items holds up nobody.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api_schemas.problems import ProblemError
from domain import deletion
from domain.settings import Settings
from storage.catalog import deliveries, tombstones
from storage.catalog.engine import Catalog

log = structlog.get_logger("retention")
DAY: Final = 86400.0
HOUR: Final = 3600.0
Step = tuple[str, Callable[[Session], int]]


@dataclass(frozen=True)
class Retention:
    """What is kept for how long, on one catalog."""

    catalog: Catalog
    settings: Settings

    def slice(self, seconds: float) -> Counter[str]:
        """Do what is due, for about so long; returns how much went, by kind."""
        ends_at = time.monotonic() + seconds
        done: Counter[str] = Counter()
        while True:
            turn = self.turn()
            done += turn
            if not turn or time.monotonic() >= ends_at:
                return done

    def turn(self) -> Counter[str]:
        """Do a batch of everything that is due; returns how much went, by kind."""
        done = Counter({name: self._safely(step) for name, step in self._steps()})
        done.update({name: self._delete_old(name) for name in ("jobs", "image sets", "labels")})
        return +done

    def _steps(self) -> Iterator[Step]:
        """Yield the steps, children before their parents."""
        kept = self.settings.keep_deleted_days * DAY
        yield (
            "cut-off image sets",
            self._with(tombstones.delete_cut_off_sets, self.settings.receiving_hours * HOUR),
        )
        yield (
            "cut-off label sets",
            self._with(tombstones.delete_cut_off_label_sets, self.settings.receiving_hours * HOUR),
        )
        yield "rows of deleted jobs", tombstones.remove_behind_jobs
        yield "entries of deleted label sets", tombstones.remove_behind_label_sets
        yield "rounds of deleted campaigns", tombstones.remove_behind_campaigns
        yield "entries of deleted image sets", tombstones.remove_behind_image_sets
        yield "annotations of deleted sets", tombstones.remove_behind_annotation_sets
        yield "traces of deleted campaigns", self._with(tombstones.remove_campaigns, kept)
        yield "traces of deleted label sets", self._with(tombstones.remove_label_sets, kept)
        yield "traces of deleted labels", self._with(tombstones.remove_labels, kept)
        yield "traces of deleted jobs", self._with(tombstones.remove_jobs, kept)
        yield (
            "traces of deleted annotation sets",
            self._with(tombstones.remove_annotation_sets, kept),
        )
        yield "traces of deleted image sets", self._with(tombstones.remove_image_sets, kept)
        yield (
            "ticks of schedules",
            self._with(tombstones.remove_old_ticks, self.settings.keep_tick_days * DAY),
        )
        yield (
            "webhook deliveries",
            self._with(deliveries.remove_old, self.settings.keep_delivery_days * DAY),
        )

    @staticmethod
    def _with(step: Callable[[Session, float], int], seconds: float) -> Callable[[Session], int]:
        return lambda session: step(session, seconds)

    def _safely(self, step: Callable[[Session], int]) -> int:
        try:
            with self.catalog.write() as session:
                return step(session)
        except IntegrityError as error:
            # Something came to refer to a row at this moment; the next slice sees it.
            log.info("a row is still referred to", detail=str(error.orig))
            return 0

    def _delete_old(self, kind: str) -> int:
        """Delete things of an age that the settings name, as their owner could."""
        days, find, delete = {
            "jobs": (self.settings.keep_job_days, tombstones.old_jobs, deletion.delete_job),
            "image sets": (
                self.settings.keep_image_set_days,
                tombstones.old_image_sets,
                deletion.delete_image_set,
            ),
            "labels": (self.settings.keep_label_days, tombstones.old_labels, deletion.delete_label),
        }[kind]
        if days is None:
            return 0
        with self.catalog.read() as session:
            found = find(session, days * DAY)
        deleted = 0
        for thing_id in found:
            try:
                delete(self.catalog, thing_id, force=kind == "labels")
                deleted += 1
            except ProblemError as problem:
                # Something depends on it after all, such as a schedule.
                log.info("kept beyond its time", kind=kind, id=thing_id, detail=problem.detail)
        return deleted
