"""The Celery process of a worker: `python -m workers.child`, started by `workers.parent`.

One process a device, `-P solo`: CUDA does not survive a fork, and one task at a time is what a
device can do. Everything a task needs is opened once, before the first message.
"""

import os
import socket

import structlog
from celery.signals import worker_shutting_down

from api_schemas.ids import new_id
from domain.logs import set_up_logs
from domain.settings import Settings
from storage.catalog.engine import Catalog
from storage.catalog.migrations import require_current
from storage.catalog.workers import remove_worker
from storage.objects import Objects
from storage.queue import LABEL_QUEUE, RUN_CHUNK, Queue, celery_app
from workers.devices import resolve_device, set_threads
from workers.heartbeat import Heartbeat
from workers.model_cache import ModelCache
from workers.progress import Progress
from workers.run_chunk import run_chunk
from workers.runtime import Runtime

log = structlog.get_logger("workers.child")
WORKER_ID_VARIABLE = "SELVAGE_WORKER_ID"


def build_runtime(settings: Settings, worker_id: str, progress: Progress, device: str) -> Runtime:
    """Open every connection that a worker needs.

    Raises:
        SchemaMismatch: the catalog has another schema.
    """
    catalog = Catalog(settings.catalog_url)
    require_current(catalog.engine)
    objects = Objects.open(settings.store_address)
    models = ModelCache(settings.cache_dir, objects, settings.model_cache_max_bytes, device)
    return Runtime(
        settings=settings,
        catalog=catalog,
        objects=objects,
        queue=Queue(settings.broker_url),
        models=models,
        worker_id=worker_id,
        progress=progress,
    )


def main() -> None:
    """Work until told to stop."""
    settings = Settings()
    set_up_logs(settings)
    worker_id = os.environ.get(WORKER_ID_VARIABLE) or new_id("wrk")
    progress = Progress.from_environment()
    progress.tick("starting")
    progress.start_pulse()
    device = resolve_device(settings.device)
    set_threads(settings)
    runtime = build_runtime(settings, worker_id, progress, device)
    heartbeat = Heartbeat(runtime, host=socket.gethostname(), device=device)
    app = celery_app(settings.broker_url)

    def handle(chunk_id: str) -> None:
        run_chunk(runtime, chunk_id)

    def drain(**_: object) -> None:
        runtime.draining.set()

    app.task(name=RUN_CHUNK)(handle)
    worker_shutting_down.connect(drain, weak=False)
    heartbeat.start()
    progress.tick("idle")
    runtime.queue.wake()
    log.info("label worker is ready", worker=worker_id, device=device)
    try:
        worker = app.Worker(
            pool="solo",
            concurrency=1,
            queues=[LABEL_QUEUE],
            hostname=f"{worker_id}@{socket.gethostname()}",
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
    finally:
        heartbeat.stop()
        with runtime.catalog.write() as session:
            remove_worker(session, worker_id)
        log.info("label worker has stopped", worker=worker_id)


if __name__ == "__main__":
    main()
