"""What every task of a worker process has at hand: connections and settings. No torch."""

import threading
from dataclasses import dataclass, field

import structlog

from domain.settings import Settings
from formats.archive_rules import ArchiveLimits
from formats.opening import ImageLimits
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.catalog.migrations import require_current
from storage.kept_objects import KeptObjects
from storage.objects import Objects
from storage.queue import Queue
from workers.device_share import DeviceShare
from workers.progress import Progress

log = structlog.get_logger("workers")


@dataclass
class Runtime:
    """One per worker process; all that a light worker has."""

    settings: Settings
    catalog: Catalog
    objects: Objects
    queue: Queue
    worker_id: str
    progress: Progress = field(default_factory=Progress)
    draining: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None  # of the chunk at hand; the heartbeat's thread renews it
    share: DeviceShare | None = None  # of a worker that gives its device up for trainings

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(
            max_pixels=self.settings.max_image_pixels, max_bytes=self.settings.max_image_bytes
        )

    @property
    def archive_limits(self) -> ArchiveLimits:
        return ArchiveLimits(
            max_entries=self.settings.max_archive_entries,
            max_total_bytes=self.settings.max_archive_bytes,
            max_member_bytes=self.settings.max_image_bytes,
        )


def open_runtime(settings: Settings, worker_id: str, progress: Progress) -> Runtime:
    """Open every connection that a worker needs.

    Raises:
        SchemaMismatch: the catalog has another schema.
    """
    catalog = Catalog(settings.catalog_url)
    require_current(catalog.engine)
    return Runtime(
        settings=settings,
        catalog=catalog,
        objects=KeptObjects.open_kept(settings.store_address, catalog),
        queue=Queue(settings.broker_url),
        worker_id=worker_id,
        progress=progress,
    )
