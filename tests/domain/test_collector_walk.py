"""Random histories: after each step all that is referred to is there, and in the end no more.

The reference is worked out from the rows here, by reading all of them, without the queries of
`storage.catalog.reachability`.
"""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from api_schemas.problems import ProblemError
from domain import annotations, deletion, jobs, leases, sweep
from domain.collector import Collector
from domain.leases import Commit, Outcome, commit
from domain.retention import Retention
from domain.settings import Settings
from storage.catalog import chunks, models, unreachable
from storage.catalog.engine import Catalog
from storage.catalog.tables import (
    AnnotationRow,
    AnnotationSetRow,
    Base,
    ImageRow,
    ImageSetEntryRow,
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ModelVersionRow,
    UnreachableObjectRow,
)
from storage.kept_objects import KeptObjects, keep
from storage.objects import Objects, annotation_key, fit_key, image_key, label_key, model_key
from storage.units import shards
from tests.support.rows import add_job, add_set, add_version, claim_items, digest_of, label_values

KINDS = (
    ("upload", 2), ("begin upload", 4), ("label", 2), ("begin job", 2), ("finish", 4),
    ("annotate", 1), ("register", 1), ("delete set", 2), ("delete job", 2), ("delete label", 1),
    ("delete version", 1), ("delete annotations", 1), ("retention", 2), ("mark", 1), ("time", 1),
    ("grow old", 3), ("collect", 4), ("collect and die", 1),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from([name for name, weight in KINDS for _ in range(weight)]),
        st.integers(0, 9),
        st.booleans(),
    ),
    min_size=5,
    max_size=40,
)
GRACE_SECONDS = 3600.0


class World:
    """A catalog and a store, the steps that change them, and what must be there."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.objects = KeptObjects(Objects.open("memory://"), catalog)
        self.retention = Retention(catalog, Settings(data_dir=folder, keep_deleted_days=0))
        self.collector = Collector(catalog, self.objects, GRACE_SECONDS, evidence_seconds=0.0)
        self.begun: list[Callable[[], Any]] = []

    def run(self, name: str, number: int, force: bool) -> None:
        try:
            getattr(self, "do_" + name.replace(" ", "_"))(number, force)
        except ProblemError:
            return  # refused: something depends on it, or there is nothing of the kind

    def _ids(self, table: Any) -> list[str]:
        with self.catalog.read() as session:
            return list(session.scalars(select(table.id).order_by(table.id)))

    def _some(self, table: Any, number: int) -> str:
        found = self._ids(table)
        return found[number % len(found)] if found else "set_00000000000000000000000000"

    def do_upload(self, number: int, force: bool) -> None:
        self.do_begin_upload(number, force)
        self.begun.pop()()

    def do_begin_upload(self, number: int, _force: bool) -> None:
        """The objects are put; the rows follow with `finish`, unless that comes too late."""
        count = number % 3 + 1
        for i in range(count):
            self.objects.put_new(image_key(digest_of(i)), b"image")
        self.begun.append(lambda: add_set(self.catalog, images=count))

    def do_finish(self, number: int, _force: bool) -> None:
        if self.begun:
            self.begun.pop(number % len(self.begun))()

    def do_register(self, number: int, _force: bool) -> None:
        digest = hashlib.sha256(b"tiny").hexdigest()
        self.objects.put_new(model_key(digest, "bundle.json"), b"model")
        add_version(self.catalog)

    def do_label(self, number: int, force: bool) -> None:
        self.do_begin_job(number, force)
        self.begun.pop()()

    def do_begin_job(self, number: int, force: bool) -> None:
        """A job on a set that is there; labels that exist are taken over as a worker does."""
        image_set = self._some(ImageSetRow, number)
        self.do_register(number, force)
        job_id = add_job(self.catalog, image_set=image_set)
        with self.catalog.read() as session:
            positions = list(
                session.scalars(select(JobItemRow.position).where(JobItemRow.job_id == job_id))
            )
        claimed = claim_items(self.catalog, job_id, positions)
        outcomes = [self._outcome(job_id, item) for item in claimed.items]
        fit = hashlib.sha256(str(number).encode()).hexdigest()
        self.objects.put_new(fit_key("pilot", fit), b"fit")
        changes = {"pilot_fit_digest": fit}
        work = Commit(outcomes=outcomes, close=True, job_changes=changes)
        self.begun.append(lambda: commit(self.catalog, claimed.lease, work, 60.0))

    def _outcome(self, job_id: str, item: JobItemRow) -> Outcome:
        values = label_values(self.catalog, job_id, item.image_digest or "")
        values["artifacts"] = {
            name: label_key(values["digest"], name) for name in ("label.png", "stages/predict.png")
        }
        keep(self.catalog, values["artifacts"].values())
        with self.catalog.read() as session:
            found = session.scalar(select(LabelRow).where(LabelRow.digest == values["digest"]))
        if found is not None:
            return Outcome(position=item.position, label_id=found.id)
        for key in values["artifacts"].values():
            self.objects.put_new(key, b"label")
        return Outcome(position=item.position, label=values)

    def do_annotate(self, number: int, _force: bool) -> None:
        image_set = self._some(ImageSetRow, number)
        with self.catalog.read() as session:
            row = session.get(ImageSetRow, image_set)
            if row is None or row.deleted_at is not None:
                return
            images = dict(annotations.images_by_stem(session, image_set).values())
        key = annotation_key(hashlib.sha256(f"truth {number}".encode()).hexdigest())
        self.objects.put_new(key, b"truth")
        with self.catalog.write() as session:
            annotations.store(
                session, image_set_id=image_set, purpose="source", ontology={}, rejected=0,
                annotations=[(name, digest, key) for name, digest in images.items()],
            )  # fmt: skip

    def do_delete_set(self, number: int, force: bool) -> None:
        deletion.delete_image_set(self.catalog, self._some(ImageSetRow, number), force=force)

    def do_delete_job(self, number: int, force: bool) -> None:
        deletion.delete_job(self.catalog, self._some(JobRow, number), force=force)

    def do_delete_label(self, number: int, force: bool) -> None:
        deletion.delete_label(self.catalog, self._some(LabelRow, number), force=force)

    def do_delete_annotations(self, number: int, force: bool) -> None:
        found = self._some(AnnotationSetRow, number)
        deletion.delete_annotation_set(self.catalog, found, force=force)

    def do_delete_version(self, number: int, force: bool) -> None:
        with self.catalog.read() as session:
            versions = models.list_versions(session, "tiny")
        if versions:
            version = versions[number % len(versions)].version
            deletion.delete_model_version(self.catalog, "tiny", version, force=force)

    def do_retention(self, _number: int, _force: bool) -> None:
        self.retention.turn()

    def do_mark(self, _number: int, _force: bool) -> None:
        stored = self.stored()
        for shard in shards():
            if not any(key.startswith(f"{shard}/") for key in stored):
                continue  # to list all thousand each time would be most of the test
            for units in self.collector.unreachable_units(shard):
                with self.catalog.write() as session:
                    unreachable.mark(session, units)

    def do_time(self, _number: int, _force: bool) -> None:
        """So much goes by that whoever has begun something has died over it."""
        self.begun.clear()
        with self.catalog.write() as session:
            marked_at = UnreachableObjectRow.marked_at
            session.execute(
                update(UnreachableObjectRow).values(
                    marked_at=marked_at - GRACE_SECONDS,
                    deleting_at=UnreachableObjectRow.deleting_at - GRACE_SECONDS,
                )
            )

    def do_grow_old(self, number: int, force: bool) -> None:
        """What nobody refers to now is due at the next look."""
        self.do_mark(number, force)
        self.do_time(number, force)

    def do_collect(self, number: int, _force: bool) -> None:
        self.collector.delete_due(limit=number + 1)

    def do_collect_and_die(self, number: int, force: bool) -> None:
        """Everything but the deletion of the objects, or half of it."""
        real = self.objects.delete
        self.objects.delete = lambda keys: _die(real, list(keys), force)  # type: ignore[method-assign]
        try:
            self.collector.delete_due(limit=number + 1)
        except _Died:
            self.do_time(0, False)  # by the time somebody comes by, it is known to be over
        finally:
            del self.objects.delete

    def wanted(self) -> set[str]:
        """Keys that rows refer to, by reading every row."""
        with self.catalog.read() as session:
            rows = {table: list(session.scalars(select(table))) for table in _TABLES}
        items = rows[JobItemRow]
        shown = {i.label_id for i in items}
        images = {r.image_digest for t in _WITH_IMAGE for r in rows[t] if r.image_digest}
        keys = {image_key(d) for d in images}
        for label in rows[LabelRow]:
            if label.id in shown and label.deleted_at is None:
                keys |= set(label.artifacts.values())
        keys |= {fit_key("pilot", j.pilot_fit_digest) for j in rows[JobRow] if j.pilot_fit_digest}
        keys |= {a.object_key for a in rows[AnnotationRow]}
        live = [v for v in rows[ModelVersionRow] if v.deleted_at is None]
        keys |= {model_key(v.digest, "bundle.json") for v in live}
        known = {image.digest for image in rows[ImageRow]}
        assert images <= known
        return keys

    def stored(self) -> set[str]:
        folders = {shard.split("/")[0] for shard in shards()}
        return {found.key for folder in folders for found in self.objects.list(folder)}


class _Died(Exception):
    pass


def _die(real: Any, keys: list[str], half: bool) -> None:
    real(keys[: len(keys) // 2 if half else 0])
    raise _Died


_WITH_IMAGE = (ImageSetEntryRow, JobItemRow, AnnotationRow, LabelRow)
_TABLES: tuple[Any, ...] = (*_WITH_IMAGE, JobRow, ModelVersionRow, ImageRow)


@pytest.fixture
def world(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("domain.collector._YOUNG_SECONDS", 0.0)
    monkeypatch.setattr("storage.kept_objects._WAIT_SECONDS", 0.0)
    monkeypatch.setattr("storage.kept_objects._LOOK_EVERY_SECONDS", 0.0)
    return World(catalog, tmp_path)


def cancel_all(catalog: Catalog) -> None:
    """End jobs that nobody finished, as the scheduler would."""
    with catalog.read() as session:
        held = chunks.held_by(session, "wrk_a")
        found = list(session.scalars(select(JobRow.id)))
    for job_id in found:
        with contextlib.suppress(ProblemError):
            jobs.cancel(catalog, job_id)
    for lease in held:
        leases.take_back(catalog, lease, 3)
    for job_id in found:
        sweep.continue_cancelling(catalog, job_id)


def empty(catalog: Catalog) -> None:
    with catalog.write() as session:
        session.execute(update(JobRow).values(retry_of=None))
        session.execute(update(JobItemRow).values(label_id=None))
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(text(f"DELETE FROM {table.name}"))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
@example(  # what was put and forgotten is put again, and collected before its row is there
    [("begin upload", 2, True), ("grow old", 0, True), ("begin upload", 2, True)]
    + [("collect", 9, True), ("finish", 0, True)]
)
@example(  # the same for the label of a job that was deleted
    [("label", 0, True), ("delete job", 0, True), ("retention", 0, True), ("upload", 0, True)]
    + [("grow old", 0, True), ("begin job", 0, True), ("collect", 9, True), ("finish", 0, True)]
)
@example(  # a collector dies after it has taken an image, which then comes again
    [("begin upload", 0, True), ("grow old", 0, True), ("collect and die", 9, False)]
    + [("upload", 0, True), ("collect", 9, True), ("label", 0, True)]
)
def test_nothing_that_is_referred_to_is_ever_deleted(
    world: World, steps: list[tuple[str, int, bool]]
) -> None:
    empty(world.catalog)
    world.begun.clear()
    world.objects.delete(world.stored())
    for name, number, force in steps:
        world.run(name, number, force)
        assert world.wanted() <= world.stored(), name
    cancel_all(world.catalog)
    while world.retention.turn():
        pass
    for _ in range(3):  # images are free only when the labels on them have gone
        world.do_mark(0, False)
        world.do_time(0, False)
        while world.collector.delete_due()[1]:
            pass
    assert world.stored() == world.wanted()
