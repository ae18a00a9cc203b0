"""Files of an ingest job on their way to the catalog: a batch at a time, or every two seconds."""

import time
from typing import Any, Final

from api_schemas.problems import QuotaExceeded
from domain import ingest
from domain.image_sets import ReceivedFile
from domain.leases import ClaimedChunk
from storage.catalog import chunks
from workers.committing import Draining, JobOver
from workers.run_chunk import JobHopeless
from workers.runtime import Runtime

FLUSH_SECONDS: Final = 2.0
TOUCH_SECONDS: Final = 10.0
# After a death every file is taken by itself for so long, in order to find the one that kills.
CAREFUL_FILES: Final = 2 * 250


def behind(at: Any) -> dict[str, Any]:
    """Return the place before the first file of an entry."""
    return {"at": at, "taken": 0}


class IngestWriter:
    """Gathers the files of one chunk, and commits them with the place to go on from.

    The place is `{"at": cursor of an entry, "taken": files of it that are through}`. While it is
    careful, the place of a file that is about to be touched is noted as `trying`.
    """

    def __init__(self, runtime: Runtime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._lease = claimed.lease
        self._committed_at = time.monotonic()
        with runtime.catalog.read() as session:
            self._intake = ingest.resume(session, claimed.job.image_set_id or "")
            row = chunks.get_chunk(session, claimed.lease.chunk_id)
        self._careful_files = CAREFUL_FILES if row is not None and row.kills else 0
        result = claimed.result or {}
        self.place: dict[str, Any] = result.get("place") or behind(None)
        self._deadly = result.get("trying")

    @property
    def is_careful(self) -> bool:
        return self._careful_files > 0

    def try_file(self, at: Any, taken: int) -> bool:
        """Note which file comes next; False if a worker died over it before."""
        if not self.is_careful:
            return True
        trying = {"at": at, "taken": taken}
        if self._deadly == trying:
            self._deadly = None
            return False
        self._commit({"place": self.place, "trying": trying})
        return True

    def add(self, file: ReceivedFile, place: dict[str, Any]) -> None:
        """Take a file; `place` is behind it.

        Raises:
            LeaseLost, JobOver, Draining: stop working on this chunk.
        """
        self._intake.waiting.append(file)
        self.place = place
        self._careful_files = max(0, self._careful_files - 1)
        self.tick()
        late = time.monotonic() - self._committed_at >= FLUSH_SECONDS
        if late or self._intake.is_full or self.is_careful:
            self.flush()

    def pass_on(self, at: Any) -> None:
        """An entry is through, whatever came of it."""
        self.place = behind(at)

    def tick(self) -> None:
        """Show life; safe in any thread.

        Raises:
            Draining: this process was asked to stop.
        """
        self._runtime.progress.tick("working")
        if self._runtime.draining.is_set():
            raise Draining

    def look_up(self) -> None:
        """Look now and then whether the job still goes on while nothing comes in.

        Raises:
            LeaseLost, JobOver, Draining: stop working on this chunk.
        """
        self.tick()
        if time.monotonic() - self._committed_at >= TOUCH_SECONDS:
            self.flush()

    def wait(self, seconds: float) -> None:
        """Sleep, with an eye on the job; raises as `look_up`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look_up()
            time.sleep(min(0.2, seconds))

    def flush(self) -> None:
        """Commit what waits.

        Raises:
            LeaseLost, JobOver: stop working on this chunk.
        """
        self._commit({"place": self.place})

    def close(self) -> None:
        """Commit what waits, and end the job.

        Raises:
            LeaseLost, JobOver: somebody else has the chunk, or the job is over.
        """
        self._commit({"place": self.place}, done=True)

    def _commit(self, cursor: dict[str, Any], *, done: bool = False) -> None:
        try:
            written = ingest.commit(
                self._runtime.catalog,
                self._lease,
                self._intake,
                cursor,
                settings=self._runtime.settings,
                done=done,
            )
        except QuotaExceeded as problem:
            raise JobHopeless(problem) from problem
        self._committed_at = time.monotonic()
        if not written:
            raise JobOver("ingest")
