"""A whole installation in one process: real catalog, objects, API and worker code, no broker.

Messages go to a list instead of a queue; `settle` plays scheduler and worker in turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from domain.settings import Settings
from service.state import ServiceState
from storage.catalog.engine import Catalog
from storage.catalog.workers import add_worker, see_worker
from storage.kept_objects import KeptObjects
from storage.objects import Objects
from storage.queue import TRAINING_QUEUE, Queue
from tests.support.applications import application
from tests.support.catalogs import QuickCatalog
from tests.support.tiny_model import tiny_facts, write_tiny_bundle
from workers.label_kinds import LABEL_HANDLERS
from workers.label_runtime import LabelRuntime
from workers.light_kinds import LIGHT_HANDLERS
from workers.model_cache import ModelCache
from workers.model_folder import store_folder
from workers.run_chunk import run_chunk
from workers.scheduler import Scheduler
from workers.training.runtime import TrainingRuntime
from workers.training_kinds import TRAINING_HANDLERS

WORKER_ID = "wrk_00000000000000000000000000"
LIGHT_WORKER_ID = "wrk_00000000000000000000000001"
TRAINING_WORKER_ID = "wrk_00000000000000000000000002"
ALL_HANDLERS = {**LABEL_HANDLERS, **LIGHT_HANDLERS}  # one worker plays both


@dataclass
class ListQueue(Queue):
    """Stands in for the broker: keeps what was sent."""

    sent: list[str] = field(default_factory=list)
    queues: dict[str, str] = field(default_factory=dict)
    wiped: bool = False

    def send_chunk(self, chunk_id: str, queue: str = "label") -> bool:
        self.sent.append(chunk_id)
        self.queues[chunk_id] = queue
        return True

    def wake(self) -> None:
        return

    def was_wiped(self) -> bool:
        wiped, self.wiped = self.wiped, False
        return wiped

    def ping(self) -> bool:
        return True


@dataclass
class Installation:
    settings: Settings
    catalog: Catalog
    objects: Objects
    queue: ListQueue
    runtime: LabelRuntime
    training: TrainingRuntime
    scheduler: Scheduler
    client: TestClient

    def schedule(self) -> None:
        """Let the scheduler do all that it can do without workers."""
        while self.scheduler.turn():
            pass

    def settle(self, max_turns: int = 200) -> None:
        """Schedule and work until nothing is left to do."""
        for _ in range(max_turns):
            self.schedule()
            if not self.queue.sent:
                self.schedule()
                if not self.queue.sent:
                    return
            self.work(self.queue.sent.pop(0))
        raise AssertionError("the work does not end")

    def work(self, chunk_id: str) -> None:
        """Do what a message asks for, as the worker of its queue."""
        if self.queue.queues[chunk_id] == TRAINING_QUEUE:
            run_chunk(self.training, TRAINING_HANDLERS, chunk_id)
            with self.catalog.write() as session:
                see_worker(session, WORKER_ID)  # it has no heartbeat, and this took a while
        else:
            run_chunk(self.runtime, ALL_HANDLERS, chunk_id)

    def add_tiny_model(
        self, folder: Path, name: str = "tiny", seed: int = 0, *, rectified: bool = False
    ) -> str:
        write_tiny_bundle(folder, seed, rectified=rectified)
        facts = tiny_facts(seed, rectified=rectified)
        row = store_folder(
            self.catalog,
            self.objects,
            folder,
            name=name,
            ontology=facts.pop("ontology"),
            kind=facts.pop("kind"),
            facts=facts,
            provenance={"source": "test"},
            promote=True,
        )
        return f"{row.model_name}:{row.version}"


@contextmanager
def installation(catalog_url: str, folder: Path, **settings_changes: Any) -> Iterator[Installation]:
    """Open an installation on a migrated catalog."""
    settings = Settings(
        data_dir=folder,
        database_url=catalog_url,
        redis_url="redis://127.0.0.1:1",
        device="cpu",
        **{"training_module": "tests.support.stand_in_trainer", **settings_changes},
    )
    catalog = QuickCatalog(catalog_url)
    objects = KeptObjects.open_kept(settings.store_address, catalog)
    queue = ListQueue()
    models = ModelCache(settings.cache_dir, objects, settings.model_cache_max_bytes, "cpu")
    runtime = LabelRuntime(settings, catalog, objects, queue, WORKER_ID, models=models)
    training = TrainingRuntime(settings, catalog, objects, queue, TRAINING_WORKER_ID)
    with catalog.write() as session:
        add_worker(session, TRAINING_WORKER_ID, queue="training", host="here", pid=1, device="cpu")
        add_worker(session, WORKER_ID, queue="label", host="here", pid=1, device="cpu")
        add_worker(session, LIGHT_WORKER_ID, queue="light", host="here", pid=1, device="none")
    state = ServiceState(settings, catalog, objects, queue)
    with (
        application(settings, state) as app,
        TestClient(app, raise_server_exceptions=False) as client,
    ):
        scheduler = Scheduler(settings, catalog, objects, queue)
        yield Installation(settings, catalog, objects, queue, runtime, training, scheduler, client)
    catalog.close()
