"""Freezing: all or nothing, by one at a time; what is in a set stays."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api_schemas.label_sets import LabelSetCreate
from api_schemas.problems import (
    EmptySelection,
    Gone,
    NotFound,
    OntologyMismatch,
    StateConflict,
    ValidationProblem,
)
from domain import annotations, deletion, label_sets
from domain.label_sets import LabelsMissing
from domain.leases import Commit, commit
from domain.retention import Retention
from domain.settings import Settings
from storage.catalog.engine import Catalog, db_now
from storage.catalog.label_sets import Entry
from storage.catalog.reachability import referenced
from storage.catalog.tables import (
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    LabelSetEntryRow,
    LabelSetRow,
    ModelVersionRow,
)
from storage.objects import annotation_key, image_key
from storage.units import unit_of
from tests.support.rows import (
    CLASSES,
    add_job,
    add_set,
    claim_items,
    digest_of,
    failure,
    get_items,
    get_job,
    success,
)

DAY = 86400.0


def labelled(catalog: Catalog, images: int = 3, image_set: str | None = None) -> str:
    """A generate job that is done; its last image has no label."""
    job_id = add_job(catalog, images, image_set=image_set)
    claimed = claim_items(catalog, job_id, list(range(images)))
    outcomes = [success(catalog, job_id, i) for i in range(images - 1)]
    outcomes.append(failure(images - 1))
    commit(catalog, claimed.lease, Commit(outcomes=outcomes, close=True), 60.0)
    return job_id


def annotated(catalog: Catalog, image_set: str, names: list[int], **more: Any) -> str:
    with catalog.write() as session:
        row = annotations.store(
            session,
            image_set_id=image_set,
            purpose=more.get("purpose", "initial"),
            ontology={"name": "t", "classes": more.get("classes", CLASSES)},
            annotations=[(f"{i}.png", digest_of(i), annotation_key(digest_of(("a", i))))
                         for i in names],
            rejected=0,
        )  # fmt: skip
        return row.id


def freeze(catalog: Catalog, *jobs: str, **more: Any) -> str:
    request = LabelSetCreate.model_validate({"jobs": list(jobs), **more})
    return label_sets.create(catalog, request, "key_a", lambda _session, _row: None)


def get(catalog: Catalog, set_id: str) -> LabelSetRow:
    with catalog.read() as session:
        return label_sets.get_label_set(session, set_id)


def entries(catalog: Catalog, set_id: str) -> list[Entry]:
    with catalog.read() as session:
        return label_sets.entries_of(session, set_id)


def is_kept(catalog: Catalog, key: str) -> bool:
    unit = unit_of(key)
    assert unit is not None
    with catalog.read() as session:
        return referenced(session, [unit], 0.0) == {unit}


class TestFreeze:
    def test_what_it_holds(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        row = get(catalog, freeze(catalog, job, name="first"))
        assert (row.status, row.name, row.created_by) == ("ready", "first", "key_a")
        assert (row.images, row.reviewed, row.quality, row.coverage) == (2, 0, 0.5, 1.0)
        assert row.class_pixels == {"road": 2 * 768}
        assert row.class_images == {"road": 2}
        found = entries(catalog, row.id)
        assert [(e.row.external_id, e.row.image_digest) for e in found] == [
            ("0.png", digest_of(0)), ("1.png", digest_of(1)),
        ]  # fmt: skip
        assert [e.label.id for e in found if e.label] == [
            item.label_id for item in get_items(catalog, job)[:2]
        ]
        assert get(catalog, freeze(catalog, job)).digest == row.digest

    def test_people_go_before_jobs(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        people = annotated(catalog, get_job(catalog, job).image_set_id, [1, 2])
        selection = {"reviewed_weight": 2.5}
        row = get(catalog, freeze(catalog, job, annotation_set=people, selection=selection))
        found = {e.row.external_id: e for e in entries(catalog, row.id)}
        assert (row.images, row.reviewed) == (3, 2)
        assert [found[f"{i}.png"].row.weight for i in range(3)] == [1.0, 2.5, 2.5]
        assert found["0.png"].label is not None
        assert found["1.png"].row.annotation_key == annotation_key(digest_of(("a", 1)))
        only = get(catalog, freeze(catalog, annotation_set=people))
        assert (only.images, only.reviewed, only.quality) == (2, 2, None)

    def test_a_job_named_later_goes_before(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        later = labelled(catalog, image_set=get_job(catalog, job).image_set_id)
        with catalog.write() as session:
            own = session.get(LabelRow, get_items(catalog, later)[0].label_id)
            assert own is not None
            other = LabelRow(**{c.name: getattr(own, c.name) for c in LabelRow.__table__.columns})
            other.id, other.digest = "lab_other", digest_of("other")
            session.add(other)
            session.flush()
            session.execute(
                update(JobItemRow)
                .where(JobItemRow.job_id == later, JobItemRow.position == 0)
                .values(label_id="lab_other")
            )
        first = [e.row.label_id for e in entries(catalog, freeze(catalog, job, later))][0]
        last = [e.row.label_id for e in entries(catalog, freeze(catalog, later, job))][0]
        assert (first, last) == ("lab_other", own.id)

    def test_refusals(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        image_set = get_job(catalog, job).image_set_id
        for purpose in ("source", "validation", "evaluation"):
            other = annotated(catalog, image_set, [0], purpose=purpose)
            with pytest.raises(StateConflict, match=purpose):
                freeze(catalog, job, annotation_set=other)
        turned = annotated(catalog, image_set, [0], classes=CLASSES[::-1])
        with pytest.raises(OntologyMismatch, match="in the same order"):
            freeze(catalog, job, annotation_set=turned)
        with pytest.raises(StateConflict, match="state running"):
            freeze(catalog, add_job(catalog))
        with pytest.raises(NotFound):
            freeze(catalog, "job_00000000000000000000000000")
        with pytest.raises(ValidationProblem, match="no class 'tram'"):
            freeze(catalog, job, selection={"classes": ["tram"]})
        with pytest.raises(EmptySelection, match="min_quality"):
            freeze(catalog, job, selection={"min_quality": 0.6})
        with catalog.read() as session:
            assert not [r for r in session.scalars(select(LabelSetRow)) if r.deleted_at is None]

    def test_more_than_a_batch(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(label_sets, "BATCH_ROWS", 2)
        job = labelled(catalog, 6)
        row = get(catalog, freeze(catalog, job))
        with catalog.read() as session:
            pages = [
                [
                    e.row.position
                    for e in label_sets.entries_of(session, row.id, after_position=n, limit=2)
                ]
                for n in (-1, 1, 3)
            ]
        assert (pages, row.images) == ([[0, 1], [2, 3], [4]], 5)


class TestCutOff:
    def opened(self, catalog: Catalog, job: str, made_for: str | None = None) -> LabelSetRow:
        request = LabelSetCreate(jobs=[job])
        with catalog.write() as session:
            return label_sets.open_set(session, request, made_for=made_for)

    def test_nobody_sees_it_and_it_goes_in_the_end(self, catalog: Catalog, tmp_path: Path) -> None:
        row = self.opened(catalog, labelled(catalog))
        with pytest.raises(NotFound):
            get(catalog, row.id)
        retention = Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0))
        retention.slice(1)
        with catalog.write() as session:
            session.execute(update(LabelSetRow).values(touched_at=db_now() - 3 * DAY))
        retention.slice(1)
        with catalog.read() as session:
            assert session.scalar(select(LabelSetRow)) is None

    def test_another_one_begins_again(self, catalog: Catalog) -> None:
        job = labelled(catalog)
        row = self.opened(catalog, job, "cmp_a/1")
        with catalog.write() as session:  # what the first had written before it fell silent
            session.add(
                LabelSetEntryRow(label_set_id=row.id, position=0, external_id="x",
                                 image_digest=digest_of(0), weight=1.0)
            )  # fmt: skip
        freezer = label_sets.take_over(catalog, row.id)
        with pytest.raises(StateConflict, match="somebody else"):
            label_sets.fill(catalog, row.id, row.freezer, lambda *_: None)
        label_sets.fill(catalog, row.id, freezer, lambda *_: None)
        found = get(catalog, row.id)
        assert found.digest == get(catalog, freeze(catalog, job)).digest
        assert [e.row.external_id for e in entries(catalog, row.id)] == ["0.png", "1.png"]
        with pytest.raises(StateConflict, match="somebody else"):
            label_sets.fill(catalog, row.id, freezer, lambda *_: None)

    def test_what_fails_at_the_end_leaves_nothing(self, catalog: Catalog) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("the answer could not be stored")

        request = LabelSetCreate(jobs=[labelled(catalog)])
        with pytest.raises(RuntimeError):
            label_sets.create(catalog, request, "key_a", fail)
        with catalog.read() as session:
            row = session.scalars(select(LabelSetRow)).one()
        assert (row.status, row.deleted_at is None) == ("freezing", False)


class TestWhatASetKeeps:
    def test_labels_and_images_outlive_their_job(self, catalog: Catalog, tmp_path: Path) -> None:
        job = labelled(catalog)
        set_id = freeze(catalog, job)
        image_set = get_job(catalog, job).image_set_id
        deletion.delete_job(catalog, job)
        with pytest.raises(StateConflict) as refused:
            deletion.delete_image_set(catalog, image_set)
        assert [e.pointer for e in refused.value.errors] == [f"/v1/label-sets/{set_id}"]
        deletion.delete_image_set(catalog, image_set, force=True)
        keep_nothing = Settings(data_dir=tmp_path, keep_deleted_days=0, keep_label_days=1)
        with catalog.write() as session:
            session.execute(update(LabelRow).values(created_at=db_now() - 3 * DAY))
        Retention(catalog, keep_nothing).slice(1)
        with catalog.read() as session:
            assert session.get(JobRow, job) is None
            assert session.get(ImageSetRow, image_set) is None
        (first, _) = entries(catalog, set_id)
        assert first.label is not None
        assert is_kept(catalog, image_key(digest_of(0)))
        assert is_kept(catalog, f"labels/{first.label.digest[:2]}/{first.label.digest}/label.png")
        assert not is_kept(catalog, image_key(digest_of(2)))

        deletion.delete_label_set(catalog, set_id)
        with pytest.raises(Gone):
            get(catalog, set_id)
        Retention(catalog, keep_nothing).slice(1)
        with catalog.read() as session:
            assert session.scalar(select(LabelSetEntryRow)) is None
            assert session.get(LabelSetRow, set_id) is None

    def test_labels_by_people_outlive_their_set(self, catalog: Catalog, tmp_path: Path) -> None:
        people = annotated(catalog, add_set(catalog, 1), [0])
        set_id = freeze(catalog, annotation_set=people)
        key = annotation_key(digest_of(("a", 0)))
        deletion.delete_annotation_set(catalog, people)
        Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0)).slice(1)
        assert is_kept(catalog, key)
        deletion.delete_label_set(catalog, set_id)
        Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0)).slice(1)
        assert not is_kept(catalog, key)

    def test_a_label_that_is_deleted_by_force_is_missing(
        self, catalog: Catalog, tmp_path: Path
    ) -> None:
        job = labelled(catalog)
        set_id = freeze(catalog, job)
        label_id = entries(catalog, set_id)[0].row.label_id or ""
        with pytest.raises(StateConflict) as refused:
            deletion.delete_label(catalog, label_id)
        assert f"/v1/label-sets/{set_id}" in [e.pointer for e in refused.value.errors]
        deletion.delete_label(catalog, label_id, force=True)
        for _ in range(2):  # at once, and when its trace is gone as well
            assert [e.is_missing for e in entries(catalog, set_id)] == [True, False]
            with catalog.write() as session, pytest.raises(LabelsMissing, match="1 labels of"):
                label_sets.require_whole(session, set_id)
            Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0)).slice(1)
        with catalog.read() as session:
            assert session.get(LabelRow, label_id) is None

    def test_a_job_at_work_stands_in_the_way(self, catalog: Catalog) -> None:
        set_id = freeze(catalog, labelled(catalog))
        at_work = add_job(catalog)
        with catalog.write() as session:
            session.execute(
                update(JobRow).where(JobRow.id == at_work).values(params={"label_set": set_id})
            )
        for force in (False, True):
            with pytest.raises(StateConflict) as refused:
                deletion.delete_label_set(catalog, set_id, force=force)
            assert [e.pointer for e in refused.value.errors] == [f"/v1/jobs/{at_work}"]


def test_a_version_that_was_deleted_leaves_its_labels(catalog: Catalog) -> None:
    job = labelled(catalog)
    with catalog.write() as session:
        session.execute(update(ModelVersionRow).values(deleted_at=db_now()))
    assert get(catalog, freeze(catalog, job)).images == 2
