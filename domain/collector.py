"""The collector: deletes objects that nothing refers to, in two looks that lie a day apart.

The first look lists the store and marks what no row refers to. The second deletes what was marked
long enough ago and is still not referred to. An object comes to be referred to only by somebody
who has put it or looked for it just before, and took its mark away in doing so (`KeptObjects`).

Why nothing live is deleted: `_take` reads the references under a lock on the marks, and leaves a
note that the deletion has begun. Who wants the same content

* took the mark away before: `_take` does not find it;
* comes after: the note is there, and he waits until the objects are gone, then puts them anew;
* saw no mark: one that is set after that is too young for hours, and by then his row is there.

Rows of images and labels go in the transaction of `_take`, so foreign keys speak up where the
catalog and this module should ever disagree. A collector that dies leaves marks with a note; they
are taken up again later.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError

from domain.settings import Settings
from storage.catalog import reachability, unreachable
from storage.catalog.engine import Catalog
from storage.kept_objects import DELETING_SECONDS
from storage.objects import Objects
from storage.units import is_folder, kind_of, unit_of

log = structlog.get_logger("collector")
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
TAKEN_AT_ONCE: Final = 100
# Far below DELETING_SECONDS, after which others no longer wait for a deletion.
_DELETING_LIMIT_SECONDS: Final = 60.0
# Objects that were put just now: their rows are on the way, a mark would only cost two writes.
_YOUNG_SECONDS: Final = HOUR


@dataclass
class Tally:
    """Units and bytes by kind."""

    units: Counter[str] = field(default_factory=Counter)
    size_bytes: Counter[str] = field(default_factory=Counter)

    def add(self, unit: str, size_bytes: int) -> None:
        self.units[kind_of(unit)] += 1
        self.size_bytes[kind_of(unit)] += size_bytes

    def include(self, other: "Tally") -> None:
        self.units += other.units
        self.size_bytes += other.size_bytes


@dataclass(frozen=True)
class Collector:
    """Both looks; each call does a bounded amount of work, and any number may run at once."""

    catalog: Catalog
    objects: Objects
    grace_seconds: float
    evidence_seconds: float

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog, objects: Objects) -> "Collector":
        """Return a collector with the times of the settings."""
        return cls(
            catalog,
            objects,
            grace_seconds=settings.collect_grace_hours * HOUR,
            evidence_seconds=settings.keep_evidence_days * DAY,
        )

    def unreachable_units(self, shard: str) -> Iterator[dict[str, int]]:
        """List one shard and yield batches of the units that nothing refers to, with their bytes.

        Raises:
            StorageUnavailable: the store failed.
        """
        sizes = self._listed(shard)
        units = iter(sizes)
        while batch := list(islice(units, reachability.MAX_UNITS)):
            with self.catalog.read() as session:
                live = reachability.referenced(session, batch, self.evidence_seconds)
            yield {unit: sizes[unit] for unit in batch if unit not in live}

    def _listed(self, shard: str) -> dict[str, int]:
        sizes: Counter[str] = Counter()
        young: set[str] = set()
        now = time.time()
        for found in self.objects.list(shard):
            unit = unit_of(found.key)
            if unit is None:
                continue
            sizes[unit] += found.size_bytes
            if found.modified_at.timestamp() > now - min(_YOUNG_SECONDS, self.grace_seconds):
                young.add(unit)
        return {unit: size for unit, size in sizes.items() if unit not in young}

    def mark(self, shard: str) -> Tally:
        """The first look at one shard; returns what is unreachable in it.

        Raises:
            StorageUnavailable: the store failed.
        """
        tally = Tally()
        for units in self.unreachable_units(shard):
            if units:
                with self.catalog.write() as session:
                    unreachable.mark(session, units)
            for unit, size_bytes in units.items():
                tally.add(unit, size_bytes)
        return tally

    def delete_due(self, limit: int = TAKEN_AT_ONCE) -> tuple[Tally, int]:
        """The second look at some marks; returns what was deleted, and how many were looked at.

        Raises:
            StorageUnavailable: the store failed; the rest is taken up again later.
        """
        with self.catalog.read() as session:
            rows = unreachable.due(
                session,
                grace_seconds=self.grace_seconds,
                deleting_seconds=DELETING_SECONDS,
                limit=limit,
            )
        sizes = {row.key: row.size_bytes for row in rows}
        taken = self._take_safely(list(sizes))
        self._delete_objects(taken)
        with self.catalog.write() as session:
            unreachable.forget(session, taken)
        tally = Tally()
        for unit in taken:
            tally.add(unit, sizes[unit])
        return tally, len(rows)

    def _take_safely(self, units: list[str]) -> list[str]:
        if not units:
            return []
        try:
            return self._take(units)
        except IntegrityError:
            if len(units) == 1:
                log.error("the catalog refers to what seemed unreachable", unit=units[0])
                with self.catalog.write() as session:
                    unreachable.forget(session, units)
                return []
            return [unit for one in units for unit in self._take_safely([one])]

    def _take(self, units: Iterable[str]) -> list[str]:
        """Note that units are being deleted, and remove their rows; returns which."""
        with self.catalog.write() as session:
            standing = unreachable.lock_due(
                session,
                units,
                grace_seconds=self.grace_seconds,
                deleting_seconds=DELETING_SECONDS,
            )
            live = reachability.referenced(session, standing, self.evidence_seconds)
            dead = [unit for unit in standing if unit not in live]
            unreachable.forget(session, live)
            reachability.remove_rows(session, dead)
            unreachable.begin_deleting(session, dead)
        return dead

    def _delete_objects(self, units: list[str]) -> None:
        started = time.monotonic()
        keys = [unit for unit in units if not is_folder(unit)]
        for folder in filter(is_folder, units):
            keys += [found.key for found in self.objects.list(folder)]
            self._check_time(started)
        for start in range(0, len(keys), TAKEN_AT_ONCE):
            self._check_time(started)
            self.objects.delete(keys[start : start + TAKEN_AT_ONCE])

    def _check_time(self, started: float) -> None:
        """Stop before somebody may think that this deletion is over.

        Raises:
            TimeoutError: the marks stay, and are taken up again later.
        """
        if time.monotonic() - started > _DELETING_LIMIT_SECONDS:
            raise TimeoutError("deleting objects takes too long")
