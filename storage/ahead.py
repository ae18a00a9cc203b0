"""Produce in one thread what another consumes.

The library of the object store pulls the pieces of a large put from inside its own event loop,
where it cannot be called again: pieces that come from the store itself must be read elsewhere.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_AHEAD_PIECES: Final = 8
_LOOK_SECONDS: Final = 0.2


class _End:
    """The producer is through; `error` is what it raised."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Producer(threading.Thread):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(name="read-ahead", daemon=True)
        self._pieces = pieces
        self.waiting: queue.Queue[bytes | _End] = queue.Queue(_AHEAD_PIECES)
        self.stopped = threading.Event()

    def run(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                if not self._handed_over(piece):
                    return
        except BaseException as raised:
            error = raised
        self._handed_over(_End(error))

    def _handed_over(self, piece: bytes | _End) -> bool:
        while not self.stopped.is_set():
            try:
                self.waiting.put(piece, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def consume(self) -> Iterator[bytes]:
        while True:
            piece = self.waiting.get()
            if isinstance(piece, bytes):
                yield piece
            elif piece.error is not None:
                raise piece.error
            else:
                return


@contextmanager
def read_ahead(pieces: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Yield an iterator of the same pieces, whose producer runs in a thread of its own.

    A few pieces are held at most. What `pieces` raises is raised by the iterator. When the block
    is left early, the producer stops at its next piece.
    """
    producer = _Producer(pieces)
    producer.start()
    try:
        yield producer.consume()
    finally:
        producer.stopped.set()
        producer.join()
