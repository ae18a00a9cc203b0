"""Each change of a job leaves its event, on both databases, under a number that only grows."""

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api_schemas.events import EVENT_TYPES
from domain import events, jobs, leases, sweep
from domain.event_reading import MAX_LOOK_EVENTS, look_at, missed_events
from domain.job_states import set_status
from domain.leases import Commit, commit
from storage.catalog.engine import Catalog, db_now
from storage.catalog.events import Event, events_between, remove_old
from storage.catalog.jobs import lock_job
from storage.catalog.tables import EventRow, JobRow
from tests.support.rows import (
    LEASE_SECONDS,
    add_job,
    claim_items,
    counts_of,
    cut_chunk,
    failure,
    get_chunks,
    get_items,
    get_job,
    success,
)

ROOT = Path(__file__).parents[2]


def all_events(catalog: Catalog, job_id: str) -> list[Event]:
    with catalog.read() as session:
        seq = get_job(catalog, job_id).event_seq
        return events_between(session, job_id, after_seq=0, upto_seq=seq, limit=10**6).events


def stored_types(catalog: Catalog, job_id: str) -> Counter[str]:
    with catalog.read() as session:
        query = select(EventRow.type).where(EventRow.job_id == job_id)
        return Counter(session.scalars(query))


def statuses(found: list[Event]) -> list[str]:
    return [e.data["status"] for e in found if e.type == "job.status"]


def finish(catalog: Catalog, job_id: str, positions: list[int], **more: Any) -> str:
    claimed = claim_items(catalog, job_id, positions)
    outcomes = [success(catalog, job_id, p) for p in positions]
    return commit(catalog, claimed.lease, Commit(outcomes, close=True, **more), LEASE_SECONDS)


def make_older(catalog: Catalog, job_id: str, upto_seq: int, days: float) -> None:
    with catalog.write() as session:
        session.execute(
            update(EventRow)
            .where(EventRow.job_id == job_id, EventRow.seq <= upto_seq)
            .values(created_at=db_now() - days * 86400)
        )


class TestWritten:
    def test_a_whole_job(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3, rejected=1)
        assert finish(catalog, job_id, [0, 1]) == "running"
        claimed = claim_items(catalog, job_id, [2])
        commit(catalog, claimed.lease, Commit([failure(2)], close=True), LEASE_SECONDS)
        found = all_events(catalog, job_id)
        assert [e.type for e in found] == [
            "job.status", "job.status", "stage.status", "stage.status", "job.status",
            "item.succeeded", "item.succeeded", "item.failed",
            "stage.status", "job.status", "job.done",
        ]  # fmt: skip
        assert statuses(found) == ["queued", "validating", "running", "partial"]
        steps = [(e.data["step"], e.data["status"]) for e in found if e.type == "stage.status"]
        assert steps == [("plan", "done"), ("label", "running"), ("label", "done")]
        items = get_items(catalog, job_id)
        assert found[5].data == {
            "job": job_id,
            "item": f"{job_id}.0",
            "position": 0,
            "external_id": "0.png",
            "label_id": items[0].label_id,
            "quality": 0.5,
        }
        assert found[7].data["external_id"] == "2.png"
        assert found[7].data["problem"]["code"] == "stage-failed"
        assert found[7].seq == items[2].finish_seq
        done = found[-1]
        assert done.seq == get_job(catalog, job_id).event_seq
        assert done.data["fraction"] == 1.0
        assert done.data["counts"] == {
            "total": 4, "queued": 0, "running": 0, "succeeded": 2, "failed": 1, "skipped": 1,
            "cancelled": 0,
        }  # fmt: skip
        assert {e.type for e in found} <= set(EVENT_TYPES)
        numbers = [e.seq for e in found]
        assert numbers == sorted(set(numbers))

    def test_successes_and_progress_are_no_rows(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 40)
        for position in range(40):
            finish(catalog, job_id, [position])
        types = stored_types(catalog, job_id)
        assert set(types) == {"job.status", "stage.status", "job.done"}
        assert sum(types.values()) == 8
        found = all_events(catalog, job_id)
        assert [e.data["position"] for e in found if e.type == "item.succeeded"] == list(range(40))

    def test_nothing_without_the_change(self, catalog: Catalog) -> None:
        """An event cannot outlive the transaction that it tells of."""
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        before = all_events(catalog, job_id)
        with pytest.raises(ValueError, match="items undone"):
            commit(catalog, claimed.lease, Commit([failure(0)], close=True), LEASE_SECONDS)
        assert all_events(catalog, job_id) == before

    def test_cancelled(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3)
        claimed = claim_items(catalog, job_id, [0])
        jobs.cancel(catalog, job_id)
        jobs.cancel(catalog, job_id)
        leases.release(catalog, claimed.lease)
        sweep.continue_cancelling(catalog, job_id)
        found = all_events(catalog, job_id)
        assert statuses(found)[-2:] == ["cancelling", "cancelled"]
        assert found[-1].type == "job.done"
        assert found[-3].data == {"job": job_id, "step": "label", "status": "stopped"}

    def test_too_many_failures(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 4, min_failed_images=2)
        claimed = claim_items(catalog, job_id, [0, 1, 2])
        outcomes = [failure(p) for p in (0, 1, 2)]
        commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
        sweep.continue_cancelling(catalog, job_id)
        found = all_events(catalog, job_id)
        assert statuses(found)[-2:] == ["cancelling", "failed"]
        assert found[-1].data["error"]["code"] == "too-many-failures"
        assert "result" not in found[-1].data
        assert sum(e.type == "item.failed" for e in found) == 3

    def test_an_image_that_kills_is_told(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 1)
        chunk_id = cut_chunk(catalog, job_id, [0])
        for _ in range(2):
            claimed = leases.claim(catalog, chunk_id, "wrk_a", LEASE_SECONDS)
            assert claimed is not None
            leases.take_back(catalog, claimed.lease, 2)
        found = all_events(catalog, job_id)
        (event,) = [e for e in found if e.type == "item.failed"]
        assert event.data["problem"]["code"] == "worker-lost"
        assert event.seq == get_items(catalog, job_id)[0].finish_seq
        assert found[-1].type == "job.done"

    def test_a_worker_ends_the_job(self, catalog: Catalog) -> None:
        """A status that comes with a commit has its event like any other."""
        job_id = add_job(catalog, 1)
        error = {"type": "/problems/x", "title": "t", "status": 422, "detail": "d", "code": "x"}
        finish(catalog, job_id, [0], job_changes={"error": error, "status": "cancelling"})
        assert statuses(all_events(catalog, job_id))[-2:] == ["cancelling", "failed"]

    def test_the_same_status_twice_is_one_event(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 1)
        with catalog.write() as session:
            job = lock_job(session, job_id)
            before = job.event_seq
            set_status(job, job.status)
            assert job.event_seq == before

    def test_only_in_a_transaction(self, catalog: Catalog) -> None:
        job = get_job(catalog, add_job(catalog, 1))
        with pytest.raises(ValueError, match="not part of a transaction"):
            events.status_changed(job)


def test_nobody_else_changes_status_or_phase() -> None:
    """A status that is assigned elsewhere would have no event."""
    found = []
    for folder in ("domain", "service", "workers", "storage", "ops"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == ROOT / "domain" / "job_states.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Assign):
                    continue
                found += [
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                    for target in node.targets
                    if isinstance(target, ast.Attribute)
                    and target.attr in ("status", "phase")
                    and isinstance(target.value, ast.Name)
                    and target.value.id in ("job", "job_row")
                ]
    assert found == []


class TestRead:
    def test_pages_are_the_whole(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 7)
        finish(catalog, job_id, [0, 1, 2])
        claimed = claim_items(catalog, job_id, [3, 4, 5, 6])
        outcomes = [
            failure(3),
            success(catalog, job_id, 4),
            failure(5),
            success(catalog, job_id, 6),
        ]
        commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
        whole, seq, last = all_events(catalog, job_id), 0, get_job(catalog, job_id).event_seq
        for limit in (1, 2, 3, 5):
            seq, paged = 0, []
            while seq != last:
                with catalog.read() as session:
                    page = events_between(
                        session, job_id, after_seq=seq, upto_seq=last, limit=limit
                    )
                assert page.upto_seq > seq
                assert len(page.events) <= limit
                paged += page.events
                seq = page.upto_seq
            assert paged == whole

    def test_a_look(self, catalog: Catalog) -> None:
        job_id, other = add_job(catalog, 3), add_job(catalog, 1)
        first = look_at(catalog, {job_id: None, other: None, "job_none": None})
        start = first[job_id]
        assert first["job_none"] is None
        assert start is not None
        assert (start.events, start.is_done, start.progress) == ([], False, None)
        assert look_at(catalog, {job_id: start.upto_seq}) == {}
        finish(catalog, job_id, [0])
        look = look_at(catalog, {job_id: start.upto_seq, "job_none": 3})[job_id]
        assert look is not None
        assert [e.type for e in look.events] == ["item.succeeded"]
        assert look.is_caught_up
        assert look.progress is not None
        assert look.progress.seq == look.upto_seq > look.events[-1].seq
        assert look.progress.data["counts"]["succeeded"] == 1
        finish(catalog, job_id, [1, 2])
        last = look_at(catalog, {job_id: look.upto_seq})[job_id]
        assert last is not None
        assert (last.is_done, last.progress) == (True, None)
        assert last.events[-1].type == "job.done"

    def test_a_look_is_bounded(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("domain.event_reading.MAX_LOOK_EVENTS", 4)
        assert MAX_LOOK_EVENTS > 4
        job_id = add_job(catalog, 10)
        seq: int = get_job(catalog, job_id).event_seq
        finish(catalog, job_id, list(range(10)))
        positions, looks = [], 0
        while look := look_at(catalog, {job_id: seq}).get(job_id):
            assert len(look.events) <= 4
            positions += [e.data["position"] for e in look.events if e.type == "item.succeeded"]
            seq, looks = look.upto_seq, looks + 1
        assert positions == list(range(10))
        assert looks == 4

    def missed(self, catalog: Catalog, job_id: str, last_seq: int) -> list[str] | None:
        with catalog.read() as session:
            row = session.get(JobRow, job_id)
            assert row is not None
            found = missed_events(session, row, last_seq)
        return None if found is None else [e.type for e in found]

    def test_what_was_missed(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        job_id = add_job(catalog, 3)
        seq = get_job(catalog, job_id).event_seq
        assert self.missed(catalog, job_id, seq) == []
        finish(catalog, job_id, [0])
        assert self.missed(catalog, job_id, seq) == ["item.succeeded", "job.progress"]
        now = get_job(catalog, job_id).event_seq
        assert self.missed(catalog, job_id, now + 1) is None
        assert len(self.missed(catalog, job_id, 0) or []) == len(all_events(catalog, job_id)) + 1
        monkeypatch.setattr("domain.event_reading.MAX_REPLAYED_EVENTS", 3)
        assert self.missed(catalog, job_id, 0) is None

    def test_too_old(self, catalog: Catalog) -> None:
        job_id, other = add_job(catalog, 1), add_job(catalog, 1)
        finish(catalog, job_id, [0])
        first, *_, last = all_events(catalog, job_id)
        make_older(catalog, job_id, first.seq + 1, days=8)
        make_older(catalog, other, 1, days=6)
        with catalog.write() as session:
            assert remove_old(session, 7 * 86400, 500) == 2
            assert remove_old(session, 7 * 86400, 500) == 0
        assert self.missed(catalog, job_id, first.seq) is None
        assert (self.missed(catalog, job_id, first.seq + 1) or [])[-1] == "job.done"
        assert self.missed(catalog, job_id, last.seq) == []
        assert self.missed(catalog, other, 0) is not None

    def test_old_ones_go_in_batches(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 1)
        make_older(catalog, job_id, 10**6, days=8)
        total = sum(stored_types(catalog, job_id).values())
        with catalog.write() as session:
            assert remove_old(session, 7 * 86400, 2) == 2
        left = stored_types(catalog, job_id)
        assert sum(left.values()) == total - 2
        assert sweep.forget_events(catalog, 7 * 86400) == total - 2
        assert sum(stored_types(catalog, job_id).values()) == 0


class TestDeviceSeconds:
    def hold_for(self, catalog: Catalog, chunk_id: str, seconds: float) -> None:
        from storage.catalog.tables import ChunkRow

        with catalog.write() as session:
            session.execute(
                update(ChunkRow)
                .where(ChunkRow.id == chunk_id)
                .values(claimed_at=db_now() - seconds)
            )

    def test_from_claim_to_close(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3)
        claimed = claim_items(catalog, job_id, [0, 1])
        self.hold_for(catalog, claimed.lease.chunk_id, 30)
        outcomes = [success(catalog, job_id, p) for p in (0, 1)]
        commit(catalog, claimed.lease, Commit(outcomes[:1]), LEASE_SECONDS)
        assert get_job(catalog, job_id).device_seconds == 0
        commit(catalog, claimed.lease, Commit(outcomes[1:], close=True), LEASE_SECONDS)
        assert get_job(catalog, job_id).device_seconds == pytest.approx(30, abs=5)

    def test_given_back_and_claimed_again(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0])
        self.hold_for(catalog, claimed.lease.chunk_id, 20)
        leases.release(catalog, claimed.lease)
        leases.release(catalog, claimed.lease)
        again = leases.claim(catalog, claimed.lease.chunk_id, "wrk_b", LEASE_SECONDS)
        assert again is not None
        self.hold_for(catalog, again.lease.chunk_id, 40)
        leases.take_back(catalog, again.lease, 3)
        leases.take_back(catalog, again.lease, 3)
        assert get_job(catalog, job_id).device_seconds == pytest.approx(60, abs=5)

    def test_a_dead_worker_costs_no_more_than_its_lease(self, catalog: Catalog) -> None:
        from storage.catalog.tables import ChunkRow

        job_id = add_job(catalog, 1)
        claimed = claim_items(catalog, job_id, [0])
        with catalog.write() as session:
            session.execute(
                update(ChunkRow).values(claimed_at=db_now() - 1000, lease_until=db_now() - 940)
            )
        leases.take_back(catalog, claimed.lease, 3)
        assert get_job(catalog, job_id).device_seconds == pytest.approx(60, abs=1)

    def test_work_without_a_device_is_free(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        chunk_id = cut_chunk(catalog, job_id, [0], kind="ingest")
        claimed = leases.claim(catalog, chunk_id, "wrk_l", LEASE_SECONDS)
        assert claimed is not None
        self.hold_for(catalog, chunk_id, 50)
        leases.release(catalog, claimed.lease)
        assert get_job(catalog, job_id).device_seconds == 0
        assert counts_of(get_job(catalog, job_id)) == {"queued": 2}
        assert get_chunks(catalog, job_id)[0].status == "ready"
