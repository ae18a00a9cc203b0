"""Draws the next batch while a GPU computes with this one; on a CPU it would only be in the way."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol

from models.adaptation.batches import Batch


class Batches(Protocol):
    """Where the samples of a step come from."""

    def batch(self, step: int, rank: int, processes: int) -> Batch: ...


class Prefetched:
    """The batches of another source, one step ahead. The samples are the same: they are keyed.

    Args:
        batches: that draws them.
        steps: of the run; nothing is drawn beyond.
    """

    def __init__(self, batches: Batches, steps: int) -> None:
        self._batches, self._steps = batches, steps
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: dict[tuple[int, int, int], Future[Batch]] = {}

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def batch(self, step: int, rank: int, processes: int) -> Batch:
        """Errors of the source are raised for the step that they belong to."""
        asked = self._ahead.pop((step, rank, processes), None)
        # What was drawn ahead for another step is of no use any more.
        self._ahead.clear()
        found = self._batches.batch(step, rank, processes) if asked is None else asked.result()
        if step + 1 < self._steps:
            key = (step + 1, rank, processes)
            self._ahead[key] = self._executor.submit(self._batches.batch, *key)
        return found
