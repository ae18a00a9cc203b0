"""Cancelling and retrying, without workers: what happens to items, labels and fits."""

from typing import Any

import pytest

from api_schemas.jobs import GenerateJobCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import NotFound, QuotaExceeded, StateConflict
from domain import jobs, leases, planning, sweep
from domain.leases import Commit, commit
from storage.catalog.engine import Catalog
from storage.catalog.jobs import lock_job
from tests.support.rows import (
    ARGMAX,
    LEASE_SECONDS,
    add_job,
    add_set,
    add_version,
    assert_consistent,
    claim_items,
    counts_of,
    failure,
    get_chunks,
    get_items,
    get_job,
    success,
)


def finished_job(catalog: Catalog, pipeline: PipelineConfig = ARGMAX) -> str:
    """A job of four: 0 and 1 succeeded, 2 failed, 3 was rejected at upload."""
    job_id = add_job(catalog, 3, rejected=1, pipeline=pipeline)
    claimed = claim_items(catalog, job_id, [0, 1, 2])
    outcomes = [success(catalog, job_id, 0), success(catalog, job_id, 1), failure(2)]
    commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
    assert get_job(catalog, job_id).status == "partial"
    return job_id


def retry(catalog: Catalog, job_id: str, only: str) -> str:
    with catalog.write() as session:
        new = jobs.create_retry(session, job_id, only, 10**6).id
    planning.plan(catalog, new)
    return new


class TestCancel:
    def test_idle_job_ends_at_once_and_once(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3)
        assert jobs.cancel(catalog, job_id).status == "cancelled"
        job = assert_consistent(catalog, job_id)
        assert counts_of(job) == {"cancelled": 3}
        assert jobs.cancel(catalog, job_id).status == "cancelled"
        assert get_job(catalog, job_id).event_seq == job.event_seq

    def test_done_stays_done(self, catalog: Catalog) -> None:
        job_id = finished_job(catalog)
        assert jobs.cancel(catalog, job_id).status == "partial"

    def test_running_items_end_with_their_worker(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 4)
        claimed = claim_items(catalog, job_id, [0, 1])
        assert jobs.cancel(catalog, job_id).status == "cancelling"
        assert counts_of(assert_consistent(catalog, job_id)) == {"cancelled": 2, "running": 2}
        work = Commit([success(catalog, job_id, 0)])
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "cancelling"
        leases.release(catalog, claimed.lease)
        sweep.continue_cancelling(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, counts_of(job)) == ("cancelled", {"cancelled": 3, "succeeded": 1})
        assert [c.status for c in get_chunks(catalog, job_id)] == ["done"]

    def test_last_commit_ends_it(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        jobs.cancel(catalog, job_id)
        work = Commit([success(catalog, job_id, 0), success(catalog, job_id, 1)], close=True)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "cancelled"
        assert counts_of(assert_consistent(catalog, job_id)) == {"succeeded": 2}

    def test_more_than_one_batch(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 1100)
        turns = 0
        jobs.cancel(catalog, job_id)
        while get_job(catalog, job_id).status == "cancelling":
            sweep.continue_cancelling(catalog, job_id)
            turns += 1
        assert turns == 2
        assert counts_of(assert_consistent(catalog, job_id)) == {"cancelled": 1100}

    def test_in_the_pilot(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 2, pipeline=PipelineConfig())
        (chunk,) = get_chunks(catalog, job_id)
        claimed: Any = leases.claim(catalog, chunk.id, "wrk_a", LEASE_SECONDS)
        assert jobs.cancel(catalog, job_id).status == "cancelled"
        work = Commit(chunk_result={"histogram": {}}, close=True)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "cancelled"
        assert counts_of(assert_consistent(catalog, job_id)) == {"cancelled": 2}

    def test_unknown(self, catalog: Catalog) -> None:
        with pytest.raises(NotFound):
            jobs.cancel(catalog, "job_unknown")


class TestRetry:
    def test_failed_takes_over_what_succeeded(self, catalog: Catalog) -> None:
        old = finished_job(catalog)
        new = retry(catalog, old, "failed")
        job = assert_consistent(catalog, new)
        assert new != old
        assert job.retry_of == old
        assert counts_of(job) == {"queued": 1, "succeeded": 2, "skipped": 1}
        before, after = get_items(catalog, old), get_items(catalog, new)
        assert [i.label_id for i in after[:2]] == [i.label_id for i in before[:2]]
        assert [i.quality for i in after] == [0.5, 0.5, None, None]
        assert [i.external_id for i in after] == [i.external_id for i in before]
        claimed = claim_items(catalog, new, [2])
        work = Commit([success(catalog, new, 2)], close=True)
        assert commit(catalog, claimed.lease, work, LEASE_SECONDS) == "partial"  # one was skipped
        assert counts_of(assert_consistent(catalog, new)) == {"succeeded": 3, "skipped": 1}
        assert counts_of(get_job(catalog, old)) == {"succeeded": 2, "failed": 1, "skipped": 1}

    def test_all_works_on_every_image(self, catalog: Catalog) -> None:
        new = retry(catalog, finished_job(catalog), "all")
        assert counts_of(assert_consistent(catalog, new)) == {"queued": 3, "skipped": 1}

    def test_nothing_failed(self, catalog: Catalog) -> None:
        old = add_job(catalog, 1)
        claimed = claim_items(catalog, old, [0])
        commit(
            catalog, claimed.lease, Commit([success(catalog, old, 0)], close=True), LEASE_SECONDS
        )
        job = assert_consistent(catalog, retry(catalog, old, "failed"))
        assert (job.status, counts_of(job)) == ("succeeded", {"succeeded": 1})

    def test_fits_of_the_old_job_are_used(self, catalog: Catalog) -> None:
        old = add_job(catalog, 2, pipeline=PipelineConfig())
        with catalog.write() as session:
            lock_job(session, old).pilot_fit_digest = "f" * 64
        jobs.cancel(catalog, old)
        new = get_job(catalog, retry(catalog, old, "failed"))
        assert (new.phase, new.pilot_fit_digest) == ("label", "f" * 64)  # no pilot

    def test_retry_of_a_retry(self, catalog: Catalog) -> None:
        first = finished_job(catalog)
        second = retry(catalog, first, "failed")
        jobs.cancel(catalog, second)
        third = assert_consistent(catalog, retry(catalog, second, "failed"))
        assert third.retry_of == second
        assert counts_of(third) == {"queued": 1, "succeeded": 2, "skipped": 1}

    def test_retry_of_a_job_cancelled_before_planning(self, catalog: Catalog) -> None:
        old = add_job(catalog, 2, rejected=1, planned=False)
        jobs.cancel(catalog, old)
        job = assert_consistent(catalog, retry(catalog, old, "failed"))
        assert counts_of(job) == {"queued": 2, "skipped": 1}

    @pytest.mark.parametrize("planned", [True, False])
    def test_unfinished(self, catalog: Catalog, planned: bool) -> None:
        job_id = add_job(catalog, 2, planned=planned)
        with catalog.write() as session, pytest.raises(StateConflict, match="Wait for its end"):
            jobs.create_retry(session, job_id, "failed", 10**6)


class TestRoom:
    def test_full(self, catalog: Catalog) -> None:
        add_version(catalog)
        request = GenerateJobCreate(type="generate", image_set=add_set(catalog, 3), model="tiny")
        with catalog.write() as session:
            jobs.create_generate(session, request, 6)
            jobs.create_generate(session, request, 6)
            with pytest.raises(QuotaExceeded) as raised:
                jobs.create_generate(session, request, 6)
        assert raised.value.headers == {"Retry-After": "60"}
