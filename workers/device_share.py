"""How a label worker makes room on its device for a training, and comes back. No torch.

A training takes the lease of a device and waits until every worker on it has yielded. A worker
yields between two chunks, or at once where it is idle: it drops what it has loaded and says so in
its row. Until the lease is over it takes no chunk, and the dispatcher does not count it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from storage.catalog import devices
from storage.catalog.engine import Catalog

log = structlog.get_logger("workers")
LOOK_SECONDS: Final = 1.0


class DeviceShare:
    """One per label worker. `working` is for its main thread, `look` for that of the heartbeat."""

    def __init__(
        self, catalog: Catalog, device_id: str, worker_id: str, drop: Callable[[], None]
    ) -> None:
        self.device_id = device_id
        self._catalog = catalog
        self._worker_id = worker_id
        self._drop = drop
        self._yielded_epoch: int | None = None
        self._at_work = threading.Lock()

    @contextmanager
    def working(self) -> Iterator[bool]:
        """Yield whether the device may be used; inside it is not given up."""
        with self._at_work:
            yield not self._yield_if_asked()

    def look(self) -> None:
        """Make room where somebody asks for it and no chunk is being worked on."""
        if self._at_work.acquire(blocking=False):
            try:
                self._yield_if_asked()
            finally:
                self._at_work.release()

    def wait(self, draining: threading.Event) -> None:
        """Return when the device can be used again, or the process is to stop."""
        while not draining.wait(LOOK_SECONDS):
            with self._at_work:
                if not self._yield_if_asked():
                    return

    def _yield_if_asked(self) -> bool:
        """Whether the device is somebody else's; if that is new, make room for him."""
        with self._catalog.read() as session:
            epoch = devices.epoch_held(session, self.device_id)
        if epoch == self._yielded_epoch:
            return epoch is not None
        if epoch is not None:
            self._drop()
            log.info("made room for a training", device=self.device_id)
        with self._catalog.write() as session:
            devices.note_yield(session, self._worker_id, epoch)
        self._yielded_epoch = epoch
        return epoch is not None
