import random
from typing import Any

import pytest

from api_schemas.jobs import AdaptJobCreate
from api_schemas.pipelines import PipelineConfig
from domain import image_sets, jobs, planning
from domain.planning import plan, sample_rank
from storage.catalog.engine import Catalog
from storage.catalog.items import add_items
from tests.support.rows import (
    add_job,
    add_set,
    add_version,
    assert_consistent,
    counts_of,
    digest_of,
    get_chunks,
    get_items,
    get_job,
)


class TestPlan:
    def test_items_of_a_set(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3, rejected=1, planned=False)
        job = assert_consistent(catalog, job_id)
        assert (job.status, job.phase, counts_of(job)) == ("queued", "plan", {"queued": 4})
        plan(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, job.phase) == ("running", "label")
        assert counts_of(job) == {"queued": 3, "skipped": 1}
        assert job.started_at is not None
        items = get_items(catalog, job_id)
        assert [i.external_id for i in items] == ["0.png", "1.png", "2.png", "bad0.png"]
        assert [i.image_digest for i in items] == [*(digest_of(i) for i in range(3)), None]
        assert items[3].error["code"] == "empty-file"
        plan(catalog, job_id)  # once more does nothing
        assert len(get_items(catalog, job_id)) == 4

    def test_in_batches_and_on_after_a_crash(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(planning, "BATCH_ROWS", 3)
        job_id = add_job(catalog, 8, planned=False)
        sizes: list[int] = []

        def crash_at_third(session: Any, rows: list[Any]) -> None:
            sizes.append(len(rows))
            add_items(session, rows)
            if len(sizes) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr("storage.catalog.items.add_items", crash_at_third)
        with pytest.raises(KeyboardInterrupt):
            plan(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, job.planned, len(get_items(catalog, job_id))) == ("validating", 6, 6)
        plan(catalog, job_id)
        assert sizes == [3, 3, 2, 2]
        job = assert_consistent(catalog, job_id)
        assert (job.status, counts_of(job)) == ("running", {"queued": 8})
        assert [i.position for i in get_items(catalog, job_id)] == list(range(8))

    def test_cancelled_before(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 3, planned=False)
        jobs.cancel(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, counts_of(job)) == ("cancelled", {"cancelled": 3})
        plan(catalog, job_id)
        assert get_items(catalog, job_id) == []
        assert get_job(catalog, job_id).status == "cancelled"

    def test_cancelled_between_batches(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = half_planned(catalog, monkeypatch)
        jobs.cancel(catalog, job_id)
        plan(catalog, job_id)
        job = assert_consistent(catalog, job_id)
        assert (job.status, counts_of(job)) == ("cancelled", {"cancelled": 5})
        assert [i.status for i in get_items(catalog, job_id)] == ["cancelled"] * 2

    def test_only_rejected_files(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, 0, rejected=2)
        job = assert_consistent(catalog, job_id)
        assert (job.status, job.error["code"]) == ("failed", "no-usable-image")
        assert counts_of(job) == {"skipped": 2}


def half_planned(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of five whose planning crashed after two items."""
    job_id = add_job(catalog, 5, planned=False)
    with monkeypatch.context() as patch:
        patch.setattr(planning, "BATCH_ROWS", 2)
        calls: list[int] = []

        def crash_at_second(session: Any, rows: list[Any]) -> None:
            calls.append(len(rows))
            if len(calls) == 2:
                raise KeyboardInterrupt
            add_items(session, rows)

        patch.setattr("storage.catalog.items.add_items", crash_at_second)
        with pytest.raises(KeyboardInterrupt):
            plan(catalog, job_id)
    assert get_job(catalog, job_id).planned == 2
    return job_id


class TestRetryOfAHalfPlannedJob:
    def test_all_images_are_worked_on(
        self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = half_planned(catalog, monkeypatch)
        jobs.cancel(catalog, old)
        with catalog.write() as session:
            new = jobs.create_retry(session, old, "failed", 10**6).id
        plan(catalog, new)
        job = assert_consistent(catalog, new)
        assert (job.status, counts_of(job)) == ("running", {"queued": 5})
        assert [i.image_digest for i in get_items(catalog, new)] == [digest_of(i) for i in range(5)]


class TestRetryOfAJobThatIsNoGenerateJob:
    def test_sample_of_an_unplanned_adapt_job_is_drawn(self, catalog: Catalog) -> None:
        add_version(catalog)
        request = AdaptJobCreate(
            type="adapt", image_set=add_set(catalog, 9), model="tiny", sample_images=3
        )
        with catalog.write() as session:
            old = jobs.create_adapt(session, request).id
        jobs.cancel(catalog, old)
        with catalog.write() as session:
            new = jobs.create_retry(session, old, "failed", 10**6).id
        plan(catalog, new)
        assert counts_of(assert_consistent(catalog, new)) == {"queued": 3}
        smallest = sorted((digest_of(i) for i in range(9)), key=lambda d: sample_rank(0, d))[:3]
        assert [i.image_digest for i in get_items(catalog, new)] == smallest


class TestSampling:
    def test_rank_is_a_hash_of_seed_and_image(self) -> None:
        # printf 0:abc | sha256sum
        assert sample_rank(0, "abc")[:16] == "af933b62650d045f"
        assert sample_rank(1, "abc") != sample_rank(0, "abc")

    def test_pilot_takes_the_smallest_ranks(self, catalog: Catalog) -> None:
        pipeline = PipelineConfig(pilot_images=10, seed=5)
        job_id = add_job(catalog, 30, pipeline=pipeline)
        expected = sorted(range(30), key=lambda i: sample_rank(5, digest_of(i)))[:10]
        found = get_chunks(catalog, job_id)
        assert [(c.kind, len(c.positions)) for c in found] == [("pilot", 8), ("pilot", 2)]
        assert [p for c in found for p in c.positions] == expected
        assert get_job(catalog, job_id).phase == "pilot"

    def test_independent_of_the_order_of_the_upload(self, catalog: Catalog) -> None:
        digests = []
        for order in (range(20), random.Random(1).sample(range(20), 20)):
            with catalog.write() as session:
                intake = image_sets.open_set(session, None)
            for i in order:
                image = {
                    "digest": digest_of(i), "object_key": "images/a", "media_type": "image/png",
                    "size_bytes": 1, "width_px": 1, "height_px": 1,
                }  # fmt: skip
                intake.waiting.append(image_sets.ReceivedFile(f"{i}.png", image))
            image_sets.flush(catalog, intake)
            with catalog.write() as session:
                image_set = image_sets.close(session, intake.image_set_id).id
            job_id = add_job(catalog, image_set=image_set, pipeline=PipelineConfig(pilot_images=4))
            by_position = {i.position: i.image_digest for i in get_items(catalog, job_id)}
            (chunk,) = get_chunks(catalog, job_id)
            digests.append([by_position[p] for p in chunk.positions])
        assert digests[0] == digests[1]

    def test_fixed_thresholds_need_no_pilot(self, catalog: Catalog) -> None:
        pipeline = PipelineConfig.model_validate({"select": {"thresholds": 0.5}})
        job_id = add_job(catalog, 3, pipeline=pipeline)
        assert get_job(catalog, job_id).phase == "label"
        assert get_chunks(catalog, job_id) == []


class TestManyImages:
    def test_more_than_a_batch(self, catalog: Catalog) -> None:
        job_id = add_job(catalog, image_set=add_set(catalog, 1203))
        assert counts_of(assert_consistent(catalog, job_id)) == {"queued": 1203}
