"""Retention, and the slices that the scheduler's process runs."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api_schemas.problems import StorageUnavailable
from domain import deletion
from domain.housekeeping import Housekeeping, HousekeepingThread
from domain.retention import Retention
from domain.settings import Settings
from storage.catalog import tombstones
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import (
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ScheduleRow,
    ScheduleTickRow,
)
from storage.kept_objects import KeptObjects
from storage.objects import Objects, image_key
from tests.support.rows import add_job, add_set, digest_of

DAY = 86400.0


def settings_of(folder: Path, **changes: Any) -> Settings:
    return Settings(data_dir=folder, **changes)


@pytest.fixture
def objects(catalog: Catalog) -> KeptObjects:
    return KeptObjects(Objects.open("memory://"), catalog)


def end_job(catalog: Catalog, job_id: str, days_ago: float) -> None:
    with catalog.write() as session:
        ended = {"status": "succeeded", "phase": "done", "finished_at": db_now() - days_ago * DAY}
        session.execute(update(JobRow).where(JobRow.id == job_id).values(**ended))


def ids(catalog: Catalog, table: Any, *conditions: Any) -> list[str]:
    with catalog.read() as session:
        return sorted(session.scalars(select(table.id).where(*conditions)))


class TestRetention:
    def test_without_settings_nothing_goes(self, catalog: Catalog, tmp_path: Path) -> None:
        job_id = add_job(catalog, 2)
        end_job(catalog, job_id, days_ago=10_000)
        assert not Retention(catalog, settings_of(tmp_path)).slice(1)

    def test_jobs_and_image_sets_by_age(self, catalog: Catalog, tmp_path: Path) -> None:
        old, young, at_work = (add_job(catalog, 2) for _ in range(3))
        end_job(catalog, old, days_ago=31)
        end_job(catalog, young, days_ago=29)
        bare = add_set(catalog, 1)
        with catalog.write() as session:
            session.execute(update(ImageSetRow).values(created_at=db_now() - 91 * DAY))
        settings = settings_of(tmp_path, keep_job_days=30, keep_image_set_days=90)
        done = Retention(catalog, settings).slice(5)
        assert done["jobs"] == 1
        assert done["image sets"] == 2  # the bare one, and that of the job that has gone
        assert ids(catalog, JobRow, JobRow.deleted_at.is_(None)) == sorted([young, at_work])
        with catalog.read() as session:
            assert session.get_one(ImageSetRow, bare).deleted_at is not None

    def test_a_schedule_keeps_its_image_set(self, catalog: Catalog, tmp_path: Path) -> None:
        image_set = add_set(catalog, 1)
        with catalog.write() as session:
            session.execute(update(ImageSetRow).values(created_at=db_now() - 91 * DAY))
            session.add(_schedule(image_set))
        settings = settings_of(tmp_path, keep_image_set_days=90)
        assert not Retention(catalog, settings).slice(1)

    def test_labels_that_only_old_jobs_show(self, catalog: Catalog, tmp_path: Path) -> None:
        from domain.leases import Commit, commit
        from tests.support.rows import claim_items, success

        job_id = add_job(catalog, 2)
        claimed = claim_items(catalog, job_id, [0, 1])
        outcomes = [success(catalog, job_id, 0), success(catalog, job_id, 1)]
        commit(catalog, claimed.lease, Commit(outcomes=outcomes, close=True), 60.0)
        end_job(catalog, job_id, days_ago=5)
        with catalog.write() as session:
            session.execute(update(LabelRow).values(created_at=db_now() - 20 * DAY))
        for days, gone in ((6, 0), (4, 2)):
            settings = settings_of(tmp_path, keep_label_days=days)
            assert Retention(catalog, settings).slice(1)["labels"] == gone
        assert ids(catalog, LabelRow, LabelRow.deleted_at.is_(None)) == []

    def test_sets_that_were_cut_off(self, catalog: Catalog, tmp_path: Path) -> None:
        cut_off, fresh, waited_for = add_set(catalog, 1), add_set(catalog, 1), add_set(catalog, 1)
        job_id = add_job(catalog, image_set=waited_for, planned=False)
        with catalog.write() as session:
            session.execute(update(ImageSetRow).values(status="receiving", touched_at=db_now()))
            for image_set in (cut_off, waited_for):
                row = update(ImageSetRow).where(ImageSetRow.id == image_set)
                session.execute(row.values(touched_at=db_now() - 25 * 3600))
        done = Retention(catalog, settings_of(tmp_path)).slice(5)
        assert done["cut-off image sets"] == 1
        assert ids(catalog, ImageSetRow, ImageSetRow.deleted_at.is_(None)) == sorted(
            [fresh, waited_for]
        )
        assert job_id

    def test_past_ticks(self, catalog: Catalog, tmp_path: Path) -> None:
        with catalog.write() as session:
            session.add(_schedule("x"))
            session.flush()
            for days in (1, 89, 91):
                session.add(
                    ScheduleTickRow(
                        schedule_id="sch_1", due_at=db_now() - days * DAY, outcome="fired",
                        created_at=0.0,
                    )
                )  # fmt: skip
                session.flush()
        assert Retention(catalog, settings_of(tmp_path)).slice(1)["ticks of schedules"] == 1

    def test_every_transaction_is_bounded(
        self, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tombstones, "BATCH_ROWS", 7)
        job_id = add_job(catalog, 30)
        end_job(catalog, job_id, days_ago=0)
        image_set = get_set(catalog, job_id)
        deletion.delete_job(catalog, job_id)
        deletion.delete_image_set(catalog, image_set)
        retention = Retention(catalog, settings_of(tmp_path, keep_deleted_days=0))
        turns = 0
        while turn := retention.turn():
            turns += 1
            assert all(count <= 7 for count in turn.values())
        assert turns >= 5
        assert ids(catalog, JobRow) == ids(catalog, ImageSetRow) == []

    def test_many_items_do_not_hold_up_a_slice(self, catalog: Catalog, tmp_path: Path) -> None:
        job_id = add_job(catalog, 1200)
        end_job(catalog, job_id, days_ago=0)
        deletion.delete_job(catalog, job_id)
        assert Retention(catalog, settings_of(tmp_path)).slice(0.0) == {"rows of deleted jobs": 500}
        with catalog.read() as session:
            assert len(session.scalars(select(JobItemRow.position)).all()) == 700


def get_set(catalog: Catalog, job_id: str) -> str:
    with catalog.read() as session:
        return str(session.get_one(JobRow, job_id).image_set_id)


def _schedule(image_set: str) -> ScheduleRow:
    return ScheduleRow(
        id="sch_1", name="nightly", cron="0 3 * * *", time_zone="UTC", overlap="skip",
        job={"type": "generate", "image_set": image_set, "model": "tiny"},
        catch_up_seconds=0.0, paused=True, created_at=0.0,
    )  # fmt: skip


class TestSlices:
    def test_litter_goes_in_the_end(
        self, catalog: Catalog, objects: KeptObjects, tmp_path: Path
    ) -> None:
        work = Housekeeping(settings_of(tmp_path), catalog, objects)
        objects.put_new(image_key(digest_of(0)), b"litter")
        work.collector = type(work.collector)(catalog, objects, 0.0, 0.0)
        work.slice(seconds=60)  # marks
        work.slice(seconds=60)  # deletes
        assert list(objects.list("images")) == []

    def test_the_store_is_looked_through_once_in_some_hours(
        self, catalog: Catalog, objects: KeptObjects, tmp_path: Path
    ) -> None:
        work = Housekeeping(settings_of(tmp_path), catalog, objects)
        work.slice(seconds=60)
        listed: list[str] = []
        objects.list = lambda prefix: iter(listed.append(prefix) or ())  # type: ignore[method-assign,func-returns-value]
        work.slice(seconds=60)
        assert listed == []

    def test_a_store_that_fails_is_tried_again(
        self, catalog: Catalog, objects: KeptObjects, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        asked = 0

        def fail(_self: object, _prefix: str) -> Any:
            nonlocal asked
            asked += 1
            raise StorageUnavailable("no")

        monkeypatch.setattr(Objects, "list", fail)
        thread = HousekeepingThread(
            settings_of(tmp_path, housekeeping_seconds=0.01), catalog, objects
        )
        thread.start()
        until = time.monotonic() + 20
        while asked < 3 and time.monotonic() < until:
            time.sleep(0.02)
        assert thread.is_alive()
        thread.stop()
        assert asked >= 3
        assert not thread.is_alive()
