from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from domain import ingest, leases
from domain.dispatch import DispatchLimits, chunk_images, dispatch
from domain.ingest import IngestRequest
from domain.jobs import cancel
from domain.leases import claim
from storage.catalog.chunks import get_chunk
from storage.catalog.engine import Catalog
from storage.catalog.jobs import lock_job
from storage.catalog.workers import add_worker
from storage.queue import Queue
from tests.support.rows import LEASE_SECONDS, add_job, add_set, get_chunks, get_items

LIMITS = DispatchLimits(
    chunk_seconds=20.0, chunk_max_images=8, chunks_per_worker=2, worker_silent_seconds=30.0
)


@dataclass
class FakeQueue(Queue):
    is_away: bool = False
    sent: list[str] = field(default_factory=list)
    sent_to: list[str] = field(default_factory=list)

    def send_chunk(self, chunk_id: str, queue: str = "label") -> bool:
        if not self.is_away:
            self.sent.append(chunk_id)
            self.sent_to.append(queue)
        return not self.is_away


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


def start_workers(catalog: Catalog, n: int, queue: str = "label") -> None:
    with catalog.write() as session:
        for i in range(n):
            add_worker(session, f"wrk_{queue}{i}", queue=queue, host="h", pid=i, device="cpu")


def add_ingest(catalog: Catalog) -> str:
    """A job for the light queue."""
    request = IngestRequest("x", {"type": "urls"}, {"type": "urls"}, 5, "local")
    with catalog.write() as session:
        return ingest.create(session, request)[1].id


@contextmanager
def statements(catalog: Catalog) -> Iterator[list[str]]:
    """What the database is asked within the block."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(catalog.engine, "before_cursor_execute", note)
    yield asked
    event.remove(catalog.engine, "before_cursor_execute", note)


def job_of(catalog: Catalog, chunk_id: str) -> str:
    with catalog.read() as session:
        chunk: Any = get_chunk(session, chunk_id)
        return str(chunk.job_id)


def finish(catalog: Catalog, chunk_id: str) -> None:
    """Play a worker that takes a chunk and is done with it."""
    claim(catalog, chunk_id, "wrk_0", LEASE_SECONDS)
    with catalog.write() as session:
        chunk: Any = get_chunk(session, chunk_id)
        chunk.status = "done"


def order(catalog: Catalog, queue: FakeQueue, n: int) -> list[str]:
    """The jobs of the next `n` chunks: each is claimed and given back done as it comes."""
    found = []
    for _ in range(n):
        queue.sent.clear()
        one_at_a_time = DispatchLimits(20.0, 1, 1, 30.0)
        assert dispatch(catalog, queue, one_at_a_time) == 1
        found.append(job_of(catalog, queue.sent[0]))
        claimed: Any = claim(catalog, queue.sent[0], "wrk_0", LEASE_SECONDS)
        with catalog.write() as session:
            chunk: Any = get_chunk(session, claimed.lease.chunk_id)
            chunk.status = "done"
    return found


class TestChunkImages:
    @pytest.mark.parametrize(
        ("seconds_per_image", "pending", "workers", "expected"),
        [
            (None, 100, 1, 4),  # speed not known yet
            (None, 2, 1, 2),
            (0.5, 1000, 1, 40),  # 20 s of work
            (7.0, 1000, 1, 2),
            (60.0, 1000, 1, 1),  # never none
            (0.001, 1000, 1, 64),  # the most that one message holds
            (0.5, 12, 4, 3),  # the rest is shared by all workers
            (0.0, 1000, 1, 64),
        ],
    )
    def test_sizes(
        self, seconds_per_image: float | None, pending: int, workers: int, expected: int
    ) -> None:
        limits = DispatchLimits(20.0, 64, 2, 30.0)
        assert chunk_images(seconds_per_image, pending, workers, limits) == expected

    @given(
        st.none() | st.floats(0, 1e6), st.integers(1, 10**7), st.integers(0, 64), st.integers(1, 64)
    )
    def test_bounds(
        self, seconds: float | None, pending: int, workers: int, chunk_max_images: int
    ) -> None:
        limits = DispatchLimits(20.0, chunk_max_images, 2, 30.0)
        assert (
            1 <= chunk_images(seconds, pending, workers, limits) <= min(chunk_max_images, pending)
        )


class TestDispatch:
    def test_two_chunks_a_worker(self, catalog: Catalog, queue: FakeQueue) -> None:
        job_id = add_job(catalog, 40)
        assert dispatch(catalog, queue, LIMITS) == 0  # nobody is there
        start_workers(catalog, 3)
        assert dispatch(catalog, queue, LIMITS) == 6
        assert dispatch(catalog, queue, LIMITS) == 0
        first: Any = claim(catalog, queue.sent[0], "wrk_0", LEASE_SECONDS)
        assert dispatch(catalog, queue, LIMITS) == 0  # being worked on is in flight, too
        leases.release(catalog, first.lease)
        assert dispatch(catalog, queue, LIMITS) == 1
        assert queue.sent[-1] == first.lease.chunk_id
        positions = [p for c in get_chunks(catalog, job_id) for p in c.positions]
        assert positions == list(range(24))  # six chunks of four

    def test_size_by_measured_speed(self, catalog: Catalog, queue: FakeQueue) -> None:
        job_id = add_job(catalog, 40)
        with catalog.write() as session:
            lock_job(session, job_id).seconds_per_image = 3.0
        start_workers(catalog, 1)
        dispatch(catalog, queue, LIMITS)
        assert [c.positions for c in get_chunks(catalog, job_id)] == [
            [0, 1, 2, 3, 4, 5],
            [6, 7, 8, 9, 10, 11],
        ]

    def test_silent_workers_do_not_count(self, catalog: Catalog, queue: FakeQueue) -> None:
        add_job(catalog, 4)
        start_workers(catalog, 1)
        silent = DispatchLimits(20.0, 8, 2, worker_silent_seconds=-1.0)
        assert dispatch(catalog, queue, silent) == 0

    def test_priority_then_turns(self, catalog: Catalog, queue: FakeQueue) -> None:
        start_workers(catalog, 1)
        images = add_set(catalog, 3)
        a = add_job(catalog, image_set=images)
        b = add_job(catalog, image_set=images)
        late = add_job(catalog, image_set=images, priority=-5)
        urgent = add_job(catalog, image_set=images, priority=7)
        assert order(catalog, queue, 12) == [urgent] * 3 + [a, b, a, b, a, b] + [late] * 3

    def test_a_job_that_comes_later_takes_part(self, catalog: Catalog, queue: FakeQueue) -> None:
        start_workers(catalog, 1)
        images = add_set(catalog, 4)
        a = add_job(catalog, image_set=images)
        assert order(catalog, queue, 2) == [a, a]
        b = add_job(catalog, image_set=images)
        assert order(catalog, queue, 4) == [b, a, b, a]

    def test_one_image_of_high_priority_beside_100_jobs(
        self, catalog: Catalog, queue: FakeQueue
    ) -> None:
        start_workers(catalog, 1)
        images, one = add_set(catalog, 8), add_set(catalog, 1)
        for _ in range(100):
            add_job(catalog, image_set=images)
        assert dispatch(catalog, queue, LIMITS) == 2
        urgent = add_job(catalog, image_set=one, priority=1)
        claim(catalog, queue.sent[0], "wrk_0", LEASE_SECONDS)
        with catalog.write() as session:
            chunk: Any = get_chunk(session, queue.sent[0])
            chunk.status = "done"
        assert dispatch(catalog, queue, LIMITS) == 1
        assert job_of(catalog, queue.sent[-1]) == urgent

    def test_a_job_for_one_queue_is_not_in_the_way_of_another(
        self, catalog: Catalog, queue: FakeQueue
    ) -> None:
        start_workers(catalog, 1)
        fetched = [add_ingest(catalog) for _ in range(5)]
        labelled = add_job(catalog, 40, priority=-1)
        assert dispatch(catalog, queue, LIMITS) == 2  # nobody is there for the light queue
        assert [job_of(catalog, chunk) for chunk in queue.sent] == [labelled] * 2
        start_workers(catalog, 1, "light")
        assert dispatch(catalog, queue, LIMITS) == 2
        assert [job_of(catalog, chunk) for chunk in queue.sent[2:]] == fetched[:2]
        assert queue.sent_to == ["label", "label", "light", "light"]
        urgent = [add_job(catalog, 4, priority=5) for _ in range(2)]
        assert dispatch(catalog, queue, LIMITS) == 0  # both queues are full
        finish(catalog, queue.sent[0])
        assert dispatch(catalog, queue, LIMITS) == 1
        assert job_of(catalog, queue.sent[-1]) == urgent[0]

    @pytest.mark.parametrize("jobs", [3, 60])
    def test_a_chunk_costs_the_same_whatever_is_waiting(
        self, catalog: Catalog, queue: FakeQueue, jobs: int
    ) -> None:
        start_workers(catalog, 1)
        images = add_set(catalog, 8)
        for _ in range(jobs):
            add_job(catalog, image_set=images)
        dispatch(catalog, queue, LIMITS)
        finish(catalog, queue.sent[0])
        with statements(catalog) as asked:
            assert dispatch(catalog, queue, LIMITS) == 1
        assert len(asked) <= 24

    def test_jobs_without_work_cost_nothing(self, catalog: Catalog, queue: FakeQueue) -> None:
        """Many jobs whose items are all under way: they are passed over in one query."""
        start_workers(catalog, 30)
        images = add_set(catalog, 2)
        for _ in range(20):
            add_job(catalog, image_set=images)
        dispatch(catalog, queue, LIMITS)
        with statements(catalog) as asked:
            assert dispatch(catalog, queue, LIMITS) == 0
        assert len(asked) <= 10  # three queues

    def test_broker_is_away(self, catalog: Catalog, queue: FakeQueue) -> None:
        job_id = add_job(catalog, 4)
        start_workers(catalog, 1)
        queue.is_away = True
        assert dispatch(catalog, queue, LIMITS) == 0
        (chunk,) = get_chunks(catalog, job_id)
        assert (chunk.status, chunk.sent_at) == ("ready", None)
        queue.is_away = False
        assert dispatch(catalog, queue, LIMITS) == 1
        assert queue.sent == [chunk.id]

    def test_jobs_that_do_not_run_get_nothing(self, catalog: Catalog, queue: FakeQueue) -> None:
        start_workers(catalog, 1)
        add_job(catalog, 2, planned=False)
        cancelled = add_job(catalog, 2)
        cancel(catalog, cancelled)
        assert dispatch(catalog, queue, LIMITS) == 0
        assert [i.status for i in get_items(catalog, cancelled)] == ["cancelled"] * 2
