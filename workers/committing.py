"""Outcomes on their way to the catalog: a few at a time, at most twice a second."""

import time
from typing import Any, Final

from domain.leases import ClaimedChunk, Commit, Outcome, commit
from workers.metrics import note_quality
from workers.runtime import Runtime

FLUSH_SECONDS: Final = 0.5


class JobOver(Exception):
    """The job was cancelled or has failed: what is left of the chunk is not wanted any more."""


class Draining(Exception):
    """This process was asked to stop: the rest of the chunk goes back."""


class Committer:
    """Gathers the outcomes of one chunk and commits them under its lease."""

    def __init__(self, runtime: Runtime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._lease = claimed.lease
        self._positions: dict[str, list[int]] = {}
        for item in claimed.items:
            if item.image_digest is not None:
                self._positions.setdefault(item.image_digest, []).append(item.position)
        self._waiting: list[Outcome] = []
        self._flushed_at = time.monotonic()
        self.chunk_result: dict[str, Any] | None = None

    @property
    def digests(self) -> list[str]:
        """Distinct images of the chunk, in order of their first item."""
        return list(self._positions)

    def positions_of(self, image_digest: str) -> list[int]:
        """Items of the chunk that show an image."""
        return self._positions[image_digest]

    def add(self, image_digest: str, **outcome: Any) -> None:
        """Note what became of an image; every item that shows it gets the same.

        Raises:
            LeaseLost, JobOver, Draining: stop working on this chunk.
        """
        self.note(image_digest, **outcome)
        self._runtime.progress.tick("working")
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()
        if self._runtime.draining.is_set():
            self.flush()
            raise Draining

    def note(self, image_digest: str, **outcome: Any) -> None:
        """Like `add`, for work that is committed all at once when the chunk is closed."""
        for position in self._positions[image_digest]:
            self._waiting.append(Outcome(position=position, **outcome))

    def stop_if_draining(self) -> None:
        """Raise Draining when the process was asked to stop."""
        if self._runtime.draining.is_set():
            raise Draining

    def flush(self) -> None:
        """Commit what waits.

        Raises:
            LeaseLost, JobOver: stop working on this chunk.
        """
        self._flushed_at = time.monotonic()
        if self._waiting:
            self._commit(Commit(outcomes=self._waiting, chunk_result=self.chunk_result))

    def close(
        self,
        *,
        seconds_per_image: float | None = None,
        job_changes: dict[str, Any] | None = None,
    ) -> None:
        """Commit what waits and close the chunk, in one transaction.

        Raises:
            LeaseLost: the chunk is somebody else's; nothing was written.
        """
        self._commit(
            Commit(
                outcomes=self._waiting,
                close=True,
                chunk_result=self.chunk_result,
                seconds_per_image=seconds_per_image,
                job_changes=job_changes or {},
            )
        )

    def _commit(self, work: Commit) -> None:
        status = commit(
            self._runtime.catalog, self._lease, work, self._runtime.settings.lease_seconds
        )
        note_quality(work.outcomes)
        self._waiting = []
        if status in ("cancelling", "cancelled", "failed", "expired") and not work.close:
            raise JobOver(status)
