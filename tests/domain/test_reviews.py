"""Decisions on labels: what leaves the queue, what a label set takes, what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_schemas.label_sets import LabelSetCreate
from api_schemas.problems import Gone
from domain import deletion, label_sets, reviews, training_data
from domain.leases import Commit, Outcome, commit
from domain.retention import Retention
from domain.reviews import Basis, Decision
from domain.settings import Settings
from formats.corrected_masks import encode_corrected
from storage.catalog import review_queue
from storage.catalog import reviews as review_rows
from storage.catalog.engine import Catalog
from storage.catalog.reachability import referenced
from storage.catalog.review_queue import Place
from storage.catalog.tables import LabelRow, ReviewRow
from storage.objects import Objects
from storage.units import unit_of
from tests.support.rows import (
    add_job,
    add_set,
    claim_items,
    digest_of,
    get_items,
    get_job,
    label_values,
)

PALETTE = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
QUALITIES = [(1.0, 0.9), (1.0, 0.5), (0.2, 1.0), (0.5, 0.5)]  # (coverage, quality)
GAINS = [0.1, 0.5, 0.4, 0.5]  # 1·0.1, 1·0.5, 0.8/2, 0.5·0.5 + 0.5/2


def labelled(catalog: Catalog, image_set: str | None = None, salt: str = "") -> str:
    """A generate job that is done, with labels of these coverages and qualities."""
    job_id = add_job(catalog, len(QUALITIES), image_set=image_set)
    claimed = claim_items(catalog, job_id, list(range(len(QUALITIES))))
    outcomes = []
    for position, (coverage, quality) in enumerate(QUALITIES):
        values = label_values(catalog, job_id, digest_of(position))
        values |= {"coverage": coverage, "quality": quality, "digest": salt + values["digest"][2:]}
        outcomes.append(Outcome(position=position, label=values, quality=quality))
    commit(catalog, claimed.lease, Commit(outcomes=outcomes, close=True), 60.0)
    return job_id


def labels_of(catalog: Catalog, job_id: str) -> list[LabelRow]:
    with catalog.read() as session:
        rows = [session.get(LabelRow, item.label_id) for item in get_items(catalog, job_id)]
        return [row for row in rows if row is not None]


def queue(catalog: Catalog, job_id: str | None = None, **more: Any) -> list[str]:
    with catalog.read() as session:
        found = review_queue.page(
            session, more.get("order", "expected_gain"), job_id, more.get("after"), more.get("n", 9)
        )
        return [waiting.label.id for waiting in found]


def decide(catalog: Catalog, label: LabelRow, decision: Any, **more: Any) -> ReviewRow:
    with catalog.write() as session:
        return reviews.decide(
            session, Basis.of(label), Decision(decision, **more), more.get("corrected")
        )


def correct(catalog: Catalog, objects: Objects, label: LabelRow, value: int = 1) -> LabelRow:
    mask = np.full((24, 32), value, np.uint8)
    mask[0] = 255
    row = reviews.store_mask(objects, Basis.of(label), encode_corrected(mask, PALETTE))
    with catalog.write() as session:
        review = reviews.decide(session, Basis.of(label), Decision("corrected"), row)
        found = session.get(LabelRow, review.corrected_label_id)
        assert found is not None
        return found


def frozen(catalog: Catalog, *jobs: str, **selection: Any) -> dict[str, tuple[str | None, bool]]:
    """External id → (label id, reviewed) of a label set of these jobs."""
    request = LabelSetCreate.model_validate({"jobs": list(jobs), "selection": selection})
    set_id = label_sets.create(catalog, request, "key_a", lambda _session, _row: None)
    with catalog.read() as session:
        rows = label_sets.entries_of(session, set_id)
        return {e.row.external_id: (e.row.label_id, e.row.reviewed) for e in rows}


@pytest.fixture
def objects() -> Objects:
    return Objects.open("memory://")


class TestQueue:
    def test_by_gain_and_by_quality(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        ids = [label.id for label in labels_of(catalog, job)]
        gains = [item.expected_gain for item in get_items(catalog, job)]
        assert gains == pytest.approx(GAINS)
        tied = sorted([ids[1], ids[3]])
        for filtered in (job, None):
            assert queue(catalog, filtered) == [*tied[::-1], ids[2], ids[0]]
            assert queue(catalog, filtered, order="quality") == [*tied, ids[0], ids[2]]
        assert queue(catalog, "job_other") == []

    def test_pages_join_without_a_gap(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        whole = queue(catalog, job)
        place, seen = None, []
        while page := queue(catalog, job, after=place, n=1):
            seen += page
            gain = next(i.expected_gain for i in get_items(catalog, job) if i.label_id == page[0])
            place = Place(gain, page[0])
        assert seen == whole

    def test_a_label_of_two_jobs_waits_once(self, catalog: Catalog) -> None:
        image_set = add_set(catalog)
        first, second = labelled(catalog, image_set), labelled(catalog, image_set)
        assert queue(catalog) == queue(catalog, first) == queue(catalog, second)
        assert len(queue(catalog, n=2)) == 2

    def test_what_was_reviewed_has_left(self, catalog: Catalog, objects: Objects) -> None:
        image_set = add_set(catalog)
        job = labelled(catalog, image_set)
        accepted, rejected, corrected, left = labels_of(catalog, job)
        decide(catalog, accepted, "accepted")
        decide(catalog, rejected, "rejected")
        correct(catalog, objects, corrected)
        assert queue(catalog) == queue(catalog, job) == [left.id]
        again = labelled(catalog, image_set)  # finds the same labels
        assert queue(catalog, again) == [left.id]

    def test_a_deleted_job_is_not_in_it(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        deletion.delete_job(catalog, job)
        assert queue(catalog) == []


class TestDecide:
    def test_a_corrected_mask_is_a_label_of_its_own(
        self, catalog: Catalog, objects: Objects
    ) -> None:
        before = labels_of(catalog, labelled(catalog))[1]
        after = correct(catalog, objects, before)
        assert (after.origin, after.quality, after.calibrated) == ("review", 1.0, True)
        assert after.coverage == pytest.approx(23 / 24)
        assert after.class_pixels == {"1": 23 * 32}
        assert after.lineage["corrected_from"] == before.id
        assert after.model_version_id == before.model_version_id
        with catalog.read() as session:
            same = session.get(LabelRow, before.id)
            assert same is not None
            assert same.artifacts == before.artifacts

    def test_the_same_decision_twice_is_one(self, catalog: Catalog, objects: Objects) -> None:
        label = labels_of(catalog, labelled(catalog))[0]
        first = correct(catalog, objects, label)
        assert correct(catalog, objects, label).id == first.id
        assert decide(catalog, label, "accepted").id == decide(catalog, label, "accepted").id
        noted = decide(catalog, label, "accepted", note="sure")
        assert noted.note == "sure"
        with catalog.read() as session:
            history = review_rows.reviews_of_label(session, label.id, 10)
        assert [row.decision for row in history] == ["corrected", "accepted", "accepted"]

    def test_a_deleted_label(self, catalog: Catalog) -> None:
        label = labels_of(catalog, labelled(catalog))[0]
        deletion.delete_label(catalog, label.id, force=True)
        with pytest.raises(Gone):
            decide(catalog, label, "accepted")


class TestLabelSets:
    def test_reviewed_first_and_none_that_was_rejected(
        self, catalog: Catalog, objects: Objects
    ) -> None:
        job = labelled(catalog)
        accepted, rejected, wrong, plain = labels_of(catalog, job)
        decide(catalog, accepted, "accepted")
        decide(catalog, rejected, "rejected")
        right = correct(catalog, objects, wrong)
        expected = {
            "0.png": (accepted.id, True),
            "2.png": (right.id, True),
            "3.png": (plain.id, False),
        }
        assert frozen(catalog, job) == expected
        assert frozen(catalog, job, min_quality=0.99) == {
            name: found for name, found in expected.items() if found[1]
        }
        assert set(frozen(catalog, job, reviewed_only=True)) == {"0.png", "2.png"}

    def test_a_correction_goes_before_the_labels_of_the_next_round(
        self, catalog: Catalog, objects: Objects
    ) -> None:
        image_set = add_set(catalog)
        first = labelled(catalog, image_set)
        right = correct(catalog, objects, labels_of(catalog, first)[0])
        second = labelled(catalog, image_set, salt="ee")
        newer = labels_of(catalog, second)
        assert newer[0].id != labels_of(catalog, first)[0].id
        found = frozen(catalog, second)
        assert found["0.png"] == (right.id, True)
        assert found["1.png"] == (newer[1].id, False)

    @pytest.mark.parametrize(
        ("last", "expected"), [("rejected", None), ("accepted", "it")], ids=str
    )
    def test_the_newest_decision_counts(
        self, catalog: Catalog, objects: Objects, last: str, expected: str | None
    ) -> None:
        job = labelled(catalog)
        label = labels_of(catalog, job)[0]
        decide(catalog, label, "accepted")
        decide(catalog, label, "rejected")
        decide(catalog, label, last)
        assert ("0.png" in frozen(catalog, job)) is (expected is not None)

    def test_a_rejected_correction_is_not_used(self, catalog: Catalog, objects: Objects) -> None:
        job = labelled(catalog)
        label = labels_of(catalog, job)[0]
        decide(catalog, correct(catalog, objects, label), "rejected")
        assert frozen(catalog, job)["0.png"] == (label.id, False)

    def test_training_is_sure_of_corrected_labels(self, catalog: Catalog, objects: Objects) -> None:
        job = labelled(catalog)
        first, second = labels_of(catalog, job)[:2]
        right = correct(catalog, objects, first)
        decide(catalog, second, "accepted")
        request = LabelSetCreate(jobs=[job])
        set_id = label_sets.create(catalog, request, "key_a", lambda _session, _row: None)
        samples = {s.external_id: s for s in training_data.target_samples(catalog, set_id)}
        assert samples["0.png"].reviewed
        assert samples["0.png"].confidence_key is None
        assert samples["0.png"].label_key == right.artifacts["label.png"]
        assert not samples["1.png"].reviewed


class TestRetention:
    def test_reviews_stay_with_their_images(
        self, catalog: Catalog, objects: Objects, tmp_path: Path
    ) -> None:
        job = labelled(catalog)
        label = labels_of(catalog, job)[0]
        right = correct(catalog, objects, label)
        image_set = get_job(catalog, job).image_set_id
        retention = Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0.0))
        deletion.delete_job(catalog, job)
        retention.slice(5.0)
        unit = unit_of(right.artifacts["label.png"])
        assert unit is not None
        with catalog.read() as session:
            assert referenced(session, [unit], 0.0) == {unit}
        deletion.delete_image_set(catalog, image_set, force=True)
        retention.slice(5.0)
        with catalog.read() as session:
            assert referenced(session, [unit], 0.0) == set()
            assert session.query(ReviewRow).count() == 0

    def test_a_deleted_correction_leaves_its_review(
        self, catalog: Catalog, objects: Objects, tmp_path: Path
    ) -> None:
        job = labelled(catalog)
        label = labels_of(catalog, job)[0]
        right = correct(catalog, objects, label)
        deletion.delete_label(catalog, right.id, force=True)
        retention = Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0.0))
        retention.slice(5.0)
        assert frozen(catalog, job)["0.png"] == (label.id, False)
