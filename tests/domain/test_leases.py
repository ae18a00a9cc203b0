"""Leases on both databases: one holder at a time, and blame that closes in on the culprit."""

import threading
from typing import Any

import pytest

from api_schemas.pipelines import PipelineConfig
from domain import leases
from domain.leases import ClaimedChunk, Commit, LeaseLost, Outcome, claim, commit
from storage.catalog.engine import Catalog
from tests.support.rows import (
    LEASE_SECONDS,
    add_job,
    add_set,
    assert_consistent,
    claim_items,
    count_labels,
    counts_of,
    cut_chunk,
    digest_of,
    failure,
    get_chunks,
    get_items,
    get_job,
    success,
)

MAX_KILLS = 3


def commit_successes(catalog: Catalog, claimed: ClaimedChunk, positions: list[int]) -> str:
    outcomes = [success(catalog, claimed.job.id, p) for p in positions]
    return commit(catalog, claimed.lease, Commit(outcomes), LEASE_SECONDS)


class TestClaim:
    def test_only_one_owner(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3)
        chunk_id = cut_chunk(catalog, job_id, [0, 2])
        first = claim(catalog, chunk_id, "wrk_a", LEASE_SECONDS)
        assert first is not None
        assert (first.lease.owner, first.lease.epoch, first.kind) == ("wrk_a", 1, "label")
        assert [i.position for i in first.items] == [0, 2]
        assert claim(catalog, chunk_id, "wrk_b", LEASE_SECONDS) is None
        assert claim(catalog, chunk_id, "wrk_a", LEASE_SECONDS) is None
        assert counts_of(assert_consistent(catalog, job_id)) == {"queued": 1, "running": 2}
        assert [i.attempts for i in get_items(catalog, job_id)] == [1, 0, 1]

    def test_two_threads_at_once(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 10)
        for round_ in range(10):
            chunk_id = cut_chunk(catalog, job_id, [round_])
            barrier = threading.Barrier(2)
            found: list[ClaimedChunk | None] = []

            def take(
                owner: str, chunk: Any = chunk_id, gate: Any = barrier, into: Any = found
            ) -> None:
                gate.wait()
                into.append(claim(catalog, chunk, owner, LEASE_SECONDS))

            threads = [threading.Thread(target=take, args=(f"wrk_{i}",)) for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(c is not None for c in found) == 1
        assert counts_of(assert_consistent(catalog, job_id)) == {"running": 10}

    def test_unknown_chunk(self, catalog: Catalog) -> None:
        assert claim(catalog, "chk_unknown", "wrk_a", LEASE_SECONDS) is None


class TestCommit:
    def test_success_failure_and_close(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        work = Commit([success(catalog, job_id, 0), failure(1)], close=True, seconds_per_image=0.25)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "partial"
        job = assert_consistent(catalog, job_id)
        assert counts_of(job) == {"succeeded": 1, "failed": 1}
        assert job.stage_failed == {"predict": 1}
        assert job.seconds_per_image == 0.25
        good, bad = get_items(catalog, job_id)
        assert (good.status, good.quality, bad.status) == ("succeeded", 0.5, "failed")
        assert good.label_id.startswith("lab_")
        assert bad.error["code"] == "stage-failed"
        assert [c.status for c in get_chunks(catalog, job_id)] == ["done"]

    def test_an_old_epoch_writes_nothing(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        old = claim_items(catalog, job_id, [0, 1])
        leases.release(catalog, old.lease)
        new = claim(catalog, old.lease.chunk_id, "wrk_a", LEASE_SECONDS)
        assert new is not None
        assert new.lease.epoch == 2
        before = get_job(catalog, job_id)
        with pytest.raises(LeaseLost):
            commit_successes(catalog, old, [0, 1])
        with pytest.raises(LeaseLost):
            leases.renew(catalog, old.lease, LEASE_SECONDS)
        leases.release(catalog, old.lease)  # no error, no effect
        assert leases.take_back(catalog, old.lease, MAX_KILLS) is False
        after = assert_consistent(catalog, job_id)
        assert counts_of(after) == counts_of(before) == {"running": 2}
        assert after.event_seq == before.event_seq
        assert count_labels(catalog) == 0
        assert commit_successes(catalog, new, [0, 1]) == "succeeded"

    def test_doing_an_item_twice(self, catalog: Catalog) -> None:
        """The first label row stays, whoever comes second."""
        image_set = add_set(catalog, 1)
        first_job = add_job(catalog, image_set=image_set)
        second_job = add_job(catalog, image_set=image_set)
        commit_successes(catalog, claim_items(catalog, first_job, [0]), [0])
        first = get_items(catalog, first_job)[0].label_id
        commit_successes(catalog, claim_items(catalog, second_job, [0]), [0])
        assert get_items(catalog, second_job)[0].label_id == first
        assert count_labels(catalog) == 1

    def test_the_same_outcome_twice_is_counted_once(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        commit_successes(catalog, claimed, [0])
        commit_successes(catalog, claimed, [0])
        assert counts_of(assert_consistent(catalog, job_id)) == {"running": 1, "succeeded": 1}

    def test_jobs_that_share_images_do_not_deadlock(self, catalog: Catalog) -> None:
        """Two jobs write the same labels in opposite order at the same time."""
        image_set = add_set(catalog, 40)
        positions = list(range(40))
        errors: list[BaseException] = []
        for _ in range(5):
            jobs = [add_job(catalog, image_set=image_set) for _ in range(2)]
            barrier = threading.Barrier(2)

            def work(job_id: str, order: list[int], gate: Any = barrier) -> None:
                claimed = claim_items(catalog, job_id, order)
                outcomes = [success(catalog, job_id, p) for p in order]
                gate.wait()
                try:
                    commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
                except Exception as error:
                    errors.append(error)

            threads = [
                threading.Thread(target=work, args=(jobs[0], positions)),
                threading.Thread(target=work, args=(jobs[1], positions[::-1])),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == []
            assert [get_job(catalog, j).status for j in jobs] == ["succeeded"] * 2
            with catalog.write() as session:  # the next round writes the labels anew
                session.connection().exec_driver_sql("UPDATE job_item SET label_id = NULL")
                session.connection().exec_driver_sql("DELETE FROM label")

    def test_closing_with_items_undone_is_a_bug(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        work = Commit([success(catalog, job_id, 0)], close=True)
        with pytest.raises(ValueError, match="items undone"):
            commit(catalog, claimed.lease, work, LEASE_SECONDS)
        assert counts_of(assert_consistent(catalog, job_id)) == {"running": 2}

    def test_evidence_goes_back_to_the_queue(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 1)
        claimed = claim_items(catalog, job_id, [0])
        work = Commit([Outcome(position=0, evidence_digest="e" * 64)], close=True)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "running"
        job = assert_consistent(catalog, job_id)
        assert counts_of(job) == {"queued": 1}
        assert job.evidence_ready == 1


class TestRelease:
    def test_nobody_is_blamed(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        commit_successes(catalog, claimed, [0])
        leases.release(catalog, claimed.lease)
        assert counts_of(assert_consistent(catalog, job_id)) == {"queued": 1, "succeeded": 1}
        chunk = get_chunks(catalog, job_id)[0]
        assert (chunk.status, chunk.kills) == ("ready", 0)
        again = claim(catalog, chunk.id, "wrk_b", LEASE_SECONDS)
        assert again is not None
        assert [i.position for i in again.items] == [1]
        assert [i.kills for i in get_items(catalog, job_id)] == [0, 0]


class TestTakeBack:
    def test_parts_get_smaller(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 10)
        claimed = claim_items(catalog, job_id, list(range(10)))
        commit_successes(catalog, claimed, [0])
        assert leases.take_back(catalog, claimed.lease, MAX_KILLS)
        ready = [c for c in get_chunks(catalog, job_id) if c.status == "ready"]
        assert [c.positions for c in ready] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]  # √9 parts
        again = claim(catalog, ready[1].id, "wrk_b", LEASE_SECONDS)
        assert again is not None
        assert leases.take_back(catalog, again.lease, MAX_KILLS)
        ready = [c for c in get_chunks(catalog, job_id) if c.status == "ready"]
        assert [c.positions for c in ready] == [[1, 2, 3], [7, 8, 9], [4], [5], [6]]
        assert [i.kills for i in get_items(catalog, job_id)] == [0, 1, 1, 1, 2, 2, 2, 1, 1, 1]
        assert counts_of(assert_consistent(catalog, job_id)) == {"queued": 9, "succeeded": 1}

    def test_items_with_evidence_are_not_done_again(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 4)
        claimed = claim_items(catalog, job_id, [0, 1, 2, 3])
        work = Commit([Outcome(position=0, evidence_digest="e" * 64)])
        commit(catalog, claimed.lease, work, LEASE_SECONDS)
        assert leases.take_back(catalog, claimed.lease, MAX_KILLS)
        ready = [c.positions for c in get_chunks(catalog, job_id) if c.status == "ready"]
        assert ready == [[1, 2], [3]]
        assert [i.kills for i in get_items(catalog, job_id)] == [0, 1, 1, 1]

    def test_culprit_among_64_is_found_by_three_deaths(self, catalog: Catalog) -> None:
        culprit = 37
        job_id = add_job(catalog, 64)
        todo = [cut_chunk(catalog, job_id, list(range(64)))]
        deaths = 0
        while todo:
            claimed = claim(catalog, todo.pop(0), "wrk_a", LEASE_SECONDS)
            assert claimed is not None
            positions = [i.position for i in claimed.items]
            if culprit not in positions:
                outcomes = [success(catalog, job_id, p) for p in positions]
                commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
                continue
            deaths += 1
            leases.take_back(catalog, claimed.lease, MAX_KILLS)
            todo = [c.id for c in get_chunks(catalog, job_id) if c.status == "ready"]
        assert deaths == 3
        job = assert_consistent(catalog, job_id)
        assert job.status == "partial"
        assert counts_of(job) == {"succeeded": 63, "failed": 1}
        bad = get_items(catalog, job_id)[culprit]
        assert (bad.status, bad.error["code"], bad.label_id) == ("failed", "worker-lost", None)
        assert bad.image_digest == digest_of(culprit)
        assert count_labels(catalog) == 63

    def test_cancelled_meanwhile(self, catalog: Catalog) -> None:
        from domain.jobs import cancel
        from domain.sweep import continue_cancelling

        job_id = add_job(catalog, 3)
        claimed = claim_items(catalog, job_id, [0, 1])
        assert cancel(catalog, job_id).status == "cancelling"
        assert leases.take_back(catalog, claimed.lease, MAX_KILLS)
        continue_cancelling(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, counts_of(job)) == ("cancelled", {"cancelled": 3})

    def test_a_step_of_the_whole_job_that_kills_ends_it(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        chunk_id = cut_chunk(catalog, job_id, [0, 1], kind="adapt")
        for death in range(1, 4):
            claimed = claim(catalog, chunk_id, "wrk_a", LEASE_SECONDS)
            assert claimed is not None
            leases.take_back(catalog, claimed.lease, MAX_KILLS)
            job = assert_consistent(catalog, job_id)
            assert job.status == ("cancelling" if death == 3 else "running")
        assert job.error["code"] == "worker-lost"

    def test_only_image_quarantined_in_the_pilot(self, catalog: Catalog) -> None:
        """A pilot whose last image is set aside leaves a job that can still end."""
        job_id = add_job(catalog, 1, pipeline=PipelineConfig())
        assert get_job(catalog, job_id).phase == "pilot"
        (chunk,) = get_chunks(catalog, job_id)
        for _ in range(3):
            claimed = claim(catalog, chunk.id, "wrk_a", LEASE_SECONDS)
            assert claimed is not None
            leases.take_back(catalog, claimed.lease, MAX_KILLS)
        job = assert_consistent(catalog, job_id)
        assert counts_of(job) == {"failed": 1}
        assert (job.status, job.error["code"]) == ("failed", "no-usable-image")


class TestFailurePolicy:
    def test_job_of_two_is_not_failed_by_one(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        work = Commit([failure(0), success(catalog, job_id, 1)], close=True)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "partial"

    def test_too_many_failures_stop_the_job(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 5, min_failed_images=3)
        claimed = claim_items(catalog, job_id, [0, 1, 2, 3])
        two = Commit([failure(0), failure(1)])
        assert commit(catalog, claimed.lease, two, LEASE_SECONDS) == "running"
        third = Commit([failure(2)])
        assert commit(catalog, claimed.lease, third, LEASE_SECONDS) == "cancelling"
        job = assert_consistent(catalog, job_id)
        assert job.error["code"] == "too-many-failures"
        assert job.error["detail"].startswith("3 of 5 images failed.")
