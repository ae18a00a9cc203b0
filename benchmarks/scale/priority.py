"""Whether one urgent image waits for a hundred thousand others.

The scheduler and the leases are the real ones, on a real catalog; the workers are played: each
takes the chunk that was sent first, and reports its images as done at once. So the figure is in
chunks, which no machine makes faster.
"""

import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from api_schemas.jobs import GenerateJobCreate
from api_schemas.pipelines import PipelineConfig
from benchmarks.speed.figures import spread
from domain import jobs, leases
from domain.leases import Commit, Outcome
from domain.settings import Settings
from storage.catalog import migrations
from storage.catalog.engine import Catalog
from storage.catalog.workers import add_worker
from storage.objects import Objects
from storage.queue import Queue
from tests.support.postgres import start_postgres
from tests.support.rows import add_set, add_version, label_values
from workers.scheduler import Scheduler

GOAL_CHUNKS: Final = 2
JOBS: Final = 100
JOB_IMAGES: Final = 1000
WARM_CHUNKS: Final = 20
URGENT: Final = 50
LEASE_SECONDS: Final = 60.0


@dataclass
class PlayedQueue(Queue):
    """Keeps what the dispatcher sent, in order."""

    sent: deque[str] = field(default_factory=deque)

    def send_chunk(self, chunk_id: str, queue: str = "label") -> bool:
        self.sent.append(chunk_id)
        return True

    def wake(self) -> None:
        return

    def was_wiped(self) -> bool:
        return False


def measure(workers: int, repeats: int, console: Console) -> dict[str, Any]:
    """Queue a hundred large jobs, then urgent ones of one image, on each database."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="selvage-scale-") as name:
        url = f"sqlite:///{Path(name) / 'catalog.sqlite3'}"
        migrations.upgrade(url)
        results["sqlite"] = _measure_on(url, Path(name), workers, repeats, console)
    with start_postgres() as server, tempfile.TemporaryDirectory() as name:
        url = server.new_database("priority")
        results["postgresql"] = _measure_on(url, Path(name), workers, repeats, console)
    return {
        "jobs": JOBS,
        "images_a_job": JOB_IMAGES,
        "workers": workers,
        "goal_chunks_before_it": GOAL_CHUNKS,
        "databases": results,
    }


def _measure_on(
    url: str, data_dir: Path, workers: int, repeats: int, console: Console
) -> dict[str, Any]:
    catalog = Catalog(url)
    settings = Settings(data_dir=data_dir, database_url=url, redis_url="redis://127.0.0.1:1")
    queue = PlayedQueue()
    scheduler = Scheduler(settings, catalog, Objects.open("memory://"), queue)
    owners = [f"wrk_{number:026d}" for number in range(workers)]
    with catalog.write() as session:
        for owner in owners:
            add_worker(session, owner, queue="label", host="here", pid=1, device="cpu")
    add_version(catalog)
    image_set, one_image = add_set(catalog, JOB_IMAGES), add_set(catalog, 1)
    for _ in range(JOBS):
        _create(catalog, image_set, priority=0)
    console.print(f"{catalog.engine.dialect.name}: planning {JOBS} jobs", style="dim")
    started = time.perf_counter()
    scheduler.turn()
    planned_seconds = time.perf_counter() - started
    _work(catalog, scheduler, queue, owners, WARM_CHUNKS)
    found = [
        _chunks_before(
            catalog, scheduler, queue, owners, _create(catalog, one_image, priority=URGENT)
        )
        for _ in range(repeats)
    ]
    turns = _turn_seconds(scheduler, repeats)
    catalog.close()
    before = [chunks for chunks, _ in found]
    return {
        "planned_seconds": planned_seconds,
        "chunks_before_it": before,
        "reached": max(before) <= GOAL_CHUNKS * workers,
        "waits_a_worker": max(before) / workers,
        "seconds_until_claimed": spread([seconds for _, seconds in found]),
        "turn_seconds": spread(turns),
    }


def _create(catalog: Catalog, image_set: str, priority: int) -> str:
    request = GenerateJobCreate(
        type="generate",
        image_set=image_set,
        model="tiny",
        pipeline=PipelineConfig(select=None),
        priority=priority,
    )
    with catalog.write() as session:
        return jobs.create_generate(session, request, 10**7).id


def _chunks_before(
    catalog: Catalog, scheduler: Scheduler, queue: PlayedQueue, owners: list[str], job_id: str
) -> tuple[int, float]:
    """Chunks of others that were worked on between the request and its own, and the seconds."""
    started = time.perf_counter()
    before = 0
    while True:
        scheduler.turn()
        worked_on = _work(catalog, scheduler, queue, owners, 1)
        if worked_on == job_id:
            return before, time.perf_counter() - started
        before += 1


def _work(
    catalog: Catalog, scheduler: Scheduler, queue: PlayedQueue, owners: list[str], chunks: int
) -> str:
    """Do the next chunks of the queue; returns the job of the last one."""
    job_id = ""
    for number in range(chunks):
        if not queue.sent:
            scheduler.turn()
        claimed = leases.claim(
            catalog, queue.sent.popleft(), owners[number % len(owners)], LEASE_SECONDS
        )
        if claimed is None:
            continue
        job_id = claimed.job.id
        outcomes = [
            Outcome(
                position=item.position,
                label=label_values(catalog, job_id, str(item.image_digest)),
                quality=0.5,
            )
            for item in claimed.items
        ]
        work = Commit(outcomes=outcomes, close=True, seconds_per_image=0.3)
        leases.commit(catalog, claimed.lease, work, LEASE_SECONDS)
    return job_id


def _turn_seconds(scheduler: Scheduler, repeats: int) -> list[float]:
    """How long the scheduler looks over a hundred waiting jobs when nothing is to be done."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        scheduler.turn()
        seconds.append(time.perf_counter() - started)
    return seconds
