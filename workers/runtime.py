"""What every task of a worker process has at hand: connections, settings, loaded models."""

import threading
from dataclasses import dataclass, field

import structlog

from domain.settings import Settings
from formats.opening import ImageLimits
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.objects import Objects
from storage.queue import Queue
from workers.job_wide import JobWideStage
from workers.model_cache import ModelCache
from workers.predictions import PredictionCache
from workers.progress import Progress

log = structlog.get_logger("workers")


@dataclass
class Runtime:
    """One per worker process."""

    settings: Settings
    catalog: Catalog
    objects: Objects
    queue: Queue
    models: ModelCache
    worker_id: str
    progress: Progress = field(default_factory=Progress)
    draining: threading.Event = field(default_factory=threading.Event)
    lease: Lease | None = None  # of the chunk at hand; the heartbeat's thread renews it
    predictions: PredictionCache = field(init=False)
    job_wide_stages: dict[str, JobWideStage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.predictions = PredictionCache(self.settings.prediction_cache_bytes)

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(
            max_pixels=self.settings.max_image_pixels, max_bytes=self.settings.max_image_bytes
        )
