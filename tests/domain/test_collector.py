"""The collector deletes what nothing refers to, late enough, and never anything else."""

import hashlib
import threading
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from api_schemas.problems import StorageUnavailable
from domain.collector import Collector
from storage import kept_objects
from storage.catalog import reachability, unreachable
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import (
    ImageRow,
    ImageSetEntryRow,
    JobItemRow,
    JobRow,
    LabelRow,
    UnreachableObjectRow,
)
from storage.kept_objects import KeptObjects
from storage.objects import (
    Objects,
    annotation_key,
    evidence_key,
    fit_key,
    image_key,
    label_key,
    model_key,
    sample_key,
    upload_key,
    upload_part_key,
)
from storage.units import shards, unit_of
from tests.support.rows import add_job, add_set, add_version, digest_of, get_items, success
from tests.support.rows import claim_items as claim

HOUR = 3600.0


def digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


@pytest.fixture
def store(catalog: Catalog) -> KeptObjects:
    return KeptObjects(Objects.open("memory://"), catalog)


def make_collector(catalog: Catalog, objects: Objects, grace_seconds: float = 0.0) -> Collector:
    return Collector(catalog, objects, grace_seconds, evidence_seconds=HOUR)


def mark_all(collector: Collector) -> dict[str, int]:
    units: dict[str, int] = {}
    for shard in shards():
        units.update(collector.mark(shard).units)
    return units


def collect(collector: Collector) -> set[str]:
    """Both looks through everything; returns the keys that are left."""
    mark_all(collector)
    while collector.delete_due()[1]:
        pass
    return keys(collector.objects)


def keys(objects: Objects) -> set[str]:
    return {found.key for shard in shards() for found in objects.list(shard)}


def marks(catalog: Catalog) -> set[str]:
    with catalog.read() as session:
        return set(session.scalars(select(UnreachableObjectRow.key)))


def age_marks(catalog: Catalog, hours: float) -> None:
    with catalog.write() as session:
        at = UnreachableObjectRow.marked_at
        session.execute(update(UnreachableObjectRow).values(marked_at=at - hours * HOUR))


class TestUnits:
    def test_objects_that_come_and_go_together(self) -> None:
        d = digest(1)
        assert unit_of(image_key(d)) == image_key(d)
        assert unit_of(label_key(d, "stages/predict.png")) == f"labels/{d[:2]}/{d}"
        assert unit_of(model_key(d, "bundle.json")) == f"models/{d}"
        assert unit_of(evidence_key(d)) == evidence_key(d)
        assert unit_of(fit_key("pilot", d)) == fit_key("pilot", d)
        assert unit_of(annotation_key(d)) == annotation_key(d)
        upload = "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G"
        assert unit_of(upload_part_key(upload, 7)) == unit_of(upload_key(upload))
        assert unit_of(upload_key(upload)) == f"uploads/{upload}"
        assert unit_of(sample_key("job_01J9Z3N6V1QG8T2B4C5D6E7F8G", d)) == (
            "samples/job_01J9Z3N6V1QG8T2B4C5D6E7F8G"
        )

    @pytest.mark.parametrize(
        "key", ["health/probe", "images/ab/notes.txt", "other/ab/cd", "images/x", "labels/aa/bb/c"]
    )
    def test_what_is_not_ours_stays(self, key: str) -> None:
        assert unit_of(key) is None


class TestTwoLooks:
    def test_every_kind_without_a_row_goes(self, catalog: Catalog, store: KeptObjects) -> None:
        upload = "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G"
        litter = [
            image_key(digest(1)), label_key(digest(2), "label.png"),
            label_key(digest(2), "stages/predict.png"), evidence_key(digest(3)),
            fit_key("pilot", digest(4)), fit_key("job", digest(5)),
            model_key(digest(6), "bundle.json"), annotation_key(digest(7)), upload_key(upload),
            upload_part_key(upload, 1), sample_key("job_01J9Z3N6V1QG8T2B4C5D6E7F8G", digest(8)),
        ]  # fmt: skip
        for key in litter:
            store.put_new(key, b"litter")
        store.put_new("images/ab/notes.txt", b"somebody else's")
        collector = make_collector(catalog, store)
        assert sum(mark_all(collector).values()) == 9
        tally, _ = collector.delete_due()
        assert sum(tally.size_bytes.values()) == 6 * len(litter)
        assert keys(store) == {"images/ab/notes.txt"}
        assert marks(catalog) == set()

    def test_a_mark_has_to_grow_old(self, catalog: Catalog, store: KeptObjects) -> None:
        key = image_key(digest(1))
        store.put_new(key, b"x")
        mark_all(make_collector(catalog, store))
        patient = make_collector(catalog, store, grace_seconds=24 * HOUR)
        assert patient.delete_due() == (patient.delete_due()[0], 0)
        age_marks(catalog, 23.9)
        assert patient.delete_due()[1] == 0
        assert keys(store) == {key}
        age_marks(catalog, 0.2)
        assert patient.delete_due()[1] == 1
        assert keys(store) == set()

    def test_what_was_put_just_now_is_not_even_marked(
        self, catalog: Catalog, store: KeptObjects
    ) -> None:
        store.put_new(image_key(digest(1)), b"x")
        assert mark_all(make_collector(catalog, store, grace_seconds=24 * HOUR)) == {}

    def test_an_object_that_is_referred_to_by_now_loses_its_mark(
        self, catalog: Catalog, store: KeptObjects
    ) -> None:
        key = image_key(digest_of(0))
        store.put_new(key, b"x")
        collector = make_collector(catalog, store)
        mark_all(collector)
        add_set(catalog, images=1)
        tally, looked_at = collector.delete_due()
        assert (sum(tally.units.values()), looked_at) == (0, 1)
        assert keys(store) == {key}
        assert marks(catalog) == set()

    def test_rows_without_references_go_with_their_objects(
        self, catalog: Catalog, store: KeptObjects
    ) -> None:
        set_id = add_set(catalog, images=3)
        for i in range(3):
            store.put_new(image_key(digest_of(i)), b"x")
        with catalog.write() as session:
            row: Any = session.get(ImageSetEntryRow, (set_id, 1))
            session.delete(row)
        assert collect(make_collector(catalog, store)) == {
            image_key(digest_of(0)), image_key(digest_of(2)),
        }  # fmt: skip
        with catalog.read() as session:
            assert session.get(ImageRow, digest_of(1)) is None
            assert session.get(ImageRow, digest_of(0)) is not None

    def test_a_store_that_fails_is_taken_up_again(
        self, catalog: Catalog, store: KeptObjects, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put_new(image_key(digest(1)), b"x")
        collector = make_collector(catalog, store)
        mark_all(collector)
        with monkeypatch.context() as broken:
            broken.setattr(Objects, "delete", _fails)
            with pytest.raises(StorageUnavailable):
                collector.delete_due()
        assert collector.delete_due()[1] == 0  # somebody may be at it still
        with catalog.write() as session:
            session.execute(update(UnreachableObjectRow).values(deleting_at=db_now() - 301))
        assert collector.delete_due()[1] == 1
        assert keys(store) == set()


def _fails(*_: object) -> None:
    raise StorageUnavailable("no")


class TestWhatKeeps:
    def test_a_job_keeps_its_labels_and_fits(self, catalog: Catalog, store: KeptObjects) -> None:
        job_id, label_digest = _labelled(catalog)
        kept = {label_key(label_digest, "label.png"), fit_key("pilot", digest("fit"))}
        for key in kept:
            store.put_new(key, b"x")
        collector = make_collector(catalog, store)
        assert collect(collector) == kept
        with catalog.write() as session:
            session.execute(update(JobItemRow).values(label_id=None))
            session.execute(update(JobRow).values(pilot_fit_digest=None))
        assert collect(collector) == set()
        with catalog.read() as session:
            assert session.scalars(select(LabelRow)).all() == []
        assert job_id

    @pytest.mark.parametrize(
        ("changes", "kept"),
        [
            ({"status": "running"}, True),
            ({"status": "succeeded", "finished_at": -0.5 * HOUR}, True),
            ({"status": "succeeded", "finished_at": -1.5 * HOUR}, False),
            ({"status": "running", "deleted_at": 0.0}, False),
        ],
    )
    def test_evidence(
        self, catalog: Catalog, store: KeptObjects, changes: dict[str, Any], kept: bool
    ) -> None:
        job_id = add_job(catalog, 1)
        times = {k: db_now() + v for k, v in changes.items() if k != "status"}
        with catalog.write() as session:
            session.execute(update(JobItemRow).values(evidence_digest=digest("e")))
            session.execute(
                update(JobRow).where(JobRow.id == job_id).values(status=changes["status"], **times)
            )
        store.put_new(evidence_key(digest("e")), b"x")
        assert collect(make_collector(catalog, store)) == (
            {evidence_key(digest("e"))} if kept else set()
        )

    @pytest.mark.parametrize(
        ("changes", "kept"),
        [
            ({"status": "running"}, True),
            ({"status": "succeeded"}, False),
            ({"status": "running", "deleted_at": 1.0}, False),
        ],
    )
    def test_samples(
        self, catalog: Catalog, store: KeptObjects, changes: dict[str, Any], kept: bool
    ) -> None:
        job_id = add_job(catalog, 1)
        with catalog.write() as session:
            session.execute(update(JobRow).where(JobRow.id == job_id).values(**changes))
        parts = {sample_key(job_id, digest(n)) for n in range(2)}
        for key in parts:
            store.put_new(key, b"x")
        assert collect(make_collector(catalog, store)) == (parts if kept else set())

    @pytest.mark.parametrize(
        ("changes", "kept"),
        [
            ({}, True),
            ({"status": "validating"}, True),
            ({"status": "rejected"}, False),
            ({"deleted_at": 1.0}, False),
        ],
    )
    def test_models(
        self, catalog: Catalog, store: KeptObjects, changes: dict[str, Any], kept: bool
    ) -> None:
        version = add_version(catalog)
        with catalog.write() as session:
            for name, value in changes.items():
                setattr(session.merge(version), name, value)
        key = model_key(version.digest, "bundle.json")
        store.put_new(key, b"x")
        assert collect(make_collector(catalog, store)) == ({key} if kept else set())


def _labelled(catalog: Catalog) -> tuple[str, str]:
    """A job with one labelled item; returns its id and the label's digest."""
    from domain.leases import Commit, commit

    job_id = add_job(catalog, 1)
    claimed = claim(catalog, job_id, [0])
    commit(catalog, claimed.lease, Commit(outcomes=[success(catalog, job_id, 0)], close=True), 60.0)
    with catalog.write() as session:
        session.execute(update(JobRow).values(pilot_fit_digest=digest("fit")))
        label = session.get(LabelRow, get_items(catalog, job_id)[0].label_id)
        assert label is not None
        return job_id, label.digest


class TestRaces:
    """Somebody wants the content at the moment when the collector is about to delete it."""

    @pytest.fixture
    def marked(self, catalog: Catalog, store: KeptObjects) -> Collector:
        """The image of `add_set(images=1)` lies there, unreferenced, and its mark is due."""
        store.put_new(image_key(digest_of(0)), b"x")
        collector = make_collector(catalog, store)
        mark_all(collector)
        return collector

    def test_put_before_the_second_look(
        self, catalog: Catalog, store: KeptObjects, marked: Collector
    ) -> None:
        assert not store.put_new(image_key(digest_of(0)), b"x")  # it exists: no byte is sent
        assert marks(catalog) == set()
        assert marked.delete_due()[1] == 0  # and the row comes much later
        add_set(catalog, images=1)
        assert collect(marked) == {image_key(digest_of(0))}

    def test_a_look_is_enough(
        self, catalog: Catalog, store: KeptObjects, marked: Collector
    ) -> None:
        assert store.exists(image_key(digest_of(0)))
        assert marks(catalog) == set()

    def test_put_between_choosing_and_taking(
        self,
        catalog: Catalog,
        store: KeptObjects,
        marked: Collector,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        due = unreachable.due

        def due_then_put(*args: Any, **kw: Any) -> Any:
            rows = due(*args, **kw)
            store.put_new(image_key(digest_of(0)), b"x")
            return rows

        monkeypatch.setattr(unreachable, "due", due_then_put)
        assert sum(marked.delete_due()[0].units.values()) == 0
        assert keys(store) == {image_key(digest_of(0))}

    def test_put_while_the_objects_are_being_deleted(
        self,
        catalog: Catalog,
        store: KeptObjects,
        marked: Collector,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The writer waits for the deletion and stores its bytes anew."""
        stored: list[bool] = []
        put = threading.Thread(
            target=lambda: stored.append(store.put_new(image_key(digest_of(0)), b"x"))
        )
        delete = Objects.delete

        def slow_delete(self: Objects, wanted: Any) -> None:
            put.start()
            put.join(timeout=0.5)
            assert put.is_alive()  # it waits
            delete(self, wanted)

        monkeypatch.setattr(Objects, "delete", slow_delete)
        assert sum(marked.delete_due()[0].units.values()) == 1
        put.join(timeout=10)
        assert stored == [True]
        add_set(catalog, images=1)
        assert collect(marked) == {image_key(digest_of(0))}

    def test_put_after_a_collector_died_over_it(
        self, catalog: Catalog, store: KeptObjects, marked: Collector,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        with catalog.write() as session:
            unreachable.begin_deleting(session, marks(catalog))
        monkeypatch.setattr(kept_objects, "_WAIT_SECONDS", 0.3)
        with pytest.raises(StorageUnavailable, match="Try again"):
            store.put_new(image_key(digest_of(0)), b"x")
        with catalog.write() as session:
            session.execute(update(UnreachableObjectRow).values(deleting_at=db_now() - 301))
        store.put_new(image_key(digest_of(0)), b"x")
        assert marks(catalog) == set()
        assert keys(store) == {image_key(digest_of(0))}

    def test_a_row_that_appears_against_the_rules_keeps_its_object(
        self,
        catalog: Catalog,
        store: KeptObjects,
        marked: Collector,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Foreign keys speak up, and nothing of that unit is deleted; others are."""
        add_set(catalog, images=1)
        store.put_new(image_key(digest(9)), b"x")
        mark_all(marked)
        monkeypatch.setattr(reachability, "referenced", lambda *_: set())
        assert sum(marked.delete_due()[0].units.values()) == 1
        assert keys(store) == {image_key(digest_of(0))}
        with pytest.raises(IntegrityError), catalog.write() as session:
            reachability.remove_rows(session, [image_key(digest_of(0))])

    def test_two_collectors_do_not_disturb_each_other(
        self, catalog: Catalog, store: KeptObjects
    ) -> None:
        for i in range(150):
            store.put_new(image_key(digest(i)), b"x")
        collectors = [make_collector(catalog, store) for _ in range(3)]
        mark_all(collectors[0])
        deleted: list[int] = []

        def work(collector: Collector) -> None:
            while (result := collector.delete_due(20))[1]:
                deleted.append(sum(result[0].units.values()))

        threads = [threading.Thread(target=work, args=(c,)) for c in collectors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sum(deleted) == 150
        assert keys(store) == marks(catalog) == set()
