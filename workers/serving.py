"""The Celery process of a worker, whatever its queue: heartbeat, messages, a tidy end. No torch."""

import os
import socket

import structlog
from celery.signals import worker_shutting_down

from api_schemas.ids import new_id
from domain import tracing
from storage.catalog.workers import remove_worker
from storage.queue import RUN_CHUNK, celery_app
from workers.heartbeat import Heartbeat
from workers.metrics import serve_metrics
from workers.run_chunk import AnyRuntime, Handlers, run_chunk

log = structlog.get_logger("workers.child")
WORKER_ID_VARIABLE = "SELVAGE_WORKER_ID"


def worker_id_from_environment() -> str:
    """Return the id that the parent process has chosen, or a new one."""
    return os.environ.get(WORKER_ID_VARIABLE) or new_id("wrk")


def serve(runtime: AnyRuntime, handlers: Handlers[AnyRuntime], *, queue: str, device: str) -> None:
    """Work on what comes through `queue` until told to stop.

    One process, `-P solo`: CUDA does not survive a fork, and one task at a time is what a device
    can do. Everything a task needs was opened before the first message.
    """
    host = socket.gethostname()
    heartbeat = Heartbeat(runtime, queue=queue, host=host, device=device)
    app = celery_app(runtime.settings.broker_url)

    def handle(chunk_id: str) -> None:
        run_chunk(runtime, handlers, chunk_id)

    def drain(**_: object) -> None:
        runtime.draining.set()

    app.task(name=RUN_CHUNK)(handle)
    worker_shutting_down.connect(drain, weak=False)
    serve_metrics(runtime.settings)
    tracing.set_up(f"{queue}-worker")
    heartbeat.start()
    runtime.progress.tick("idle")
    runtime.queue.wake()
    log.info(f"{queue} worker is ready", worker=runtime.worker_id, device=device)
    try:
        worker = app.Worker(
            pool="solo",
            concurrency=1,
            queues=[queue],
            hostname=f"{runtime.worker_id}@{host}",
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
            remove_worker(session, runtime.worker_id)
        tracing.shut_down()
        log.info(f"{queue} worker has stopped", worker=runtime.worker_id)
