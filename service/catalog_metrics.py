"""What the catalog says about jobs, queues and workers, as Prometheus sees it.

Read when somebody looks, and at most every few seconds; what is over changes slowly and is read
less often. All API processes show the same figures: take the maximum over them, not the sum.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final, get_args

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.webhooks import AttemptOutcome
from domain.settings import Settings
from storage.catalog import deliveries, gauges
from storage.catalog.engine import Catalog
from storage.catalog.gauges import JobFigures
from storage.queue import KINDS, LABEL_QUEUE, LIGHT_QUEUE, TRAINING_QUEUE

log = structlog.get_logger("service")
CACHE_SECONDS: Final = 5.0
DONE_CACHE_SECONDS: Final = 60.0
SILENT_HEARTBEATS: Final = 3
QUEUES: Final = (LABEL_QUEUE, LIGHT_QUEUE, TRAINING_QUEUE)
# of these the jobs are named as their chunks
QUEUE_OF_TYPE: Final = {name: queue for queue in QUEUES[1:] for name in KINDS[queue]}
Values = dict[tuple[str, ...], float]


def queue_of(job_type: str) -> str:
    """Return the queue that the chunks of a job go through."""
    return QUEUE_OF_TYPE.get(job_type, LABEL_QUEUE)


class CatalogMetrics(Collector):
    """Gauges out of the catalog of one API process; safe to ask from several threads."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._silent_seconds = SILENT_HEARTBEATS * settings.heartbeat_seconds
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._done_read_at = float("-inf")
        self._done = JobFigures()
        self._families: list[Metric] = []
        self._is_up = False

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; without a catalog only that it is away."""
        with self._lock:
            if time.monotonic() - self._read_at >= CACHE_SECONDS:
                self._read()
                self._read_at = time.monotonic()
            families, is_up = self._families, self._is_up
        up = GaugeMetricFamily("selvage_catalog_up", "Whether the catalog answers")
        up.add_metric([], float(is_up))
        yield up
        if is_up:
            yield from families

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the catalog."""
        return iter(())

    def _read(self) -> None:
        try:
            with self._catalog.read() as session:
                if time.monotonic() - self._done_read_at >= DONE_CACHE_SECONDS:
                    self._done = gauges.job_figures(session, done=True)
                    self._done_read_at = time.monotonic()
                live = gauges.job_figures(session, done=False)
                oldest = gauges.oldest_seconds(session)
                workers = gauges.live_workers(session, self._silent_seconds)
                tallies = deliveries.tallies(session)
                waiting = deliveries.count_pending(session)
        except SQLAlchemyError as error:
            log.warning("the catalog failed; no figures of it", error=type(error).__name__)
            self._is_up = False
            return
        self._is_up = True
        self._families = [
            *_job_families(live, self._done),
            *_queue_families(live, oldest),
            _family("workers", "Workers that are alive", ["queue"], _by_queue(workers)),
            _attempts(tallies),
            _family("webhooks_waiting", "Webhooks that are to be sent", [], {(): float(waiting)}),
        ]


def _job_families(live: JobFigures, done: JobFigures) -> list[GaugeMetricFamily]:
    images = {
        key: live.images.get(key, 0) + done.images.get(key, 0)
        for key in sorted({*live.images, *done.images})
    }
    jobs: Values = {key: float(n) for key, n in sorted({**live.jobs, **done.jobs}.items())}
    return [
        _family("jobs", "Jobs in the catalog", ["type", "status"], jobs),
        _family(
            "job_images",
            "Images of the jobs in the catalog",
            ["type", "status"],
            {key: float(n) for key, n in images.items()},
        ),
    ]


def _queue_families(live: JobFigures, oldest: dict[str, float]) -> list[GaugeMetricFamily]:
    depth: dict[str, float] = {}
    for (job_type, status), n in live.images.items():
        if status == "queued":
            depth[queue_of(job_type)] = depth.get(queue_of(job_type), 0) + n
    ages: dict[str, float] = {}
    for job_type, seconds in oldest.items():
        ages[queue_of(job_type)] = max(seconds, ages.get(queue_of(job_type), 0.0))
    return [
        _family("queue_depth", "Images that wait for a worker", ["queue"], _by_queue(depth)),
        _family(
            "queue_oldest_seconds",
            "For how long the oldest waiting image has waited",
            ["queue"],
            _by_queue(ages),
        ),
    ]


def _attempts(tallies: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "selvage_webhook_deliveries", "Attempts to send a webhook", labels=["outcome"]
    )
    for outcome in get_args(AttemptOutcome):
        family.add_metric([outcome], float(tallies.get(outcome, 0)))
    return family


def _by_queue(found: Mapping[str, float]) -> Values:
    """A figure for every queue, also where there is nothing."""
    return {(queue,): float(found.get(queue, 0)) for queue in sorted({*QUEUES, *found})}


def _family(name: str, text: str, labels: list[str], values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"selvage_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
