"""Firing: each due time once, whoever looks and whenever; what was missed is told."""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, func, select

from api_schemas.problems import NotFound, ProblemError, QuotaExceeded, ValidationProblem
from api_schemas.schedules import ScheduleCreate, ScheduleUpdate
from domain import jobs, schedules
from domain.schedules import Fired, fire_due
from storage.catalog.engine import Catalog
from storage.catalog.schedules import list_ticks
from storage.catalog.tables import JobRow, ScheduleRow, ScheduleTickRow
from tests.support.rows import add_set, add_version, get_job

ROOM = 10**6
HOUR, DAY = 3600.0, 86400.0


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def body(image_set: str, **more: Any) -> dict[str, Any]:
    return {"type": "generate", "image_set": image_set, "model": "tiny",
            "pipeline": {"select": None}, **more}  # fmt: skip


@pytest.fixture
def image_set(catalog: Catalog) -> str:
    add_version(catalog)
    return add_set(catalog, 2)


def add(catalog: Catalog, image_set: str, *, due_at: float | None = None, **more: Any) -> str:
    """A schedule that is due every hour, first at `due_at`."""
    job = body(image_set, **more.pop("job", {}))
    request = ScheduleCreate.model_validate(
        {"name": "hourly", "cron": "0 * * * *", "job": job, **more}
    )
    with catalog.write() as session:
        row = schedules.create(session, request, "key_a")
        if due_at is not None:
            row.next_due_at = due_at
        return row.id


def ticks(catalog: Catalog, schedule_id: str) -> list[ScheduleTickRow]:
    """Earliest first."""
    with catalog.read() as session:
        return list_ticks(session, schedule_id, None, 1000)[::-1]


def outcomes(catalog: Catalog, schedule_id: str) -> list[tuple[float, str]]:
    return [(t.due_at, t.outcome) for t in ticks(catalog, schedule_id)]


def get(catalog: Catalog, schedule_id: str) -> ScheduleRow:
    with catalog.read() as session:
        return schedules.get_schedule(session, schedule_id)


def count_jobs(catalog: Catalog) -> int:
    with catalog.read() as session:
        return session.scalar(select(func.count()).select_from(JobRow)) or 0


T0 = seconds("2026-11-23T09:00:00+00:00")


class TestFire:
    def test_at_its_time_and_not_before(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0, job={"priority": 3, "metadata": {"by": "clock"}})
        assert fire_due(catalog, ROOM, T0 - 0.001) == []
        (fired,) = fire_due(catalog, ROOM, T0 + 0.2)
        assert (fired.schedule_id, fired.due_at, fired.outcome) == (a, T0, "fired")
        job = get_job(catalog, fired.job_id or "")
        assert (job.schedule_id, job.created_by, job.status) == (a, "key_a", "queued")
        assert (job.priority, job.job_metadata, job.total) == (3, {"by": "clock"}, 2)
        assert get(catalog, a).next_due_at == T0 + HOUR
        assert fire_due(catalog, ROOM, T0 + 0.4) == []
        assert outcomes(catalog, a) == [(T0, "fired")]
        (tick,) = ticks(catalog, a)
        assert (tick.job_id, tick.problem) == (job.id, None)

    def test_by_the_clock_of_the_data_base(self, catalog: Catalog, image_set: str) -> None:
        add(catalog, image_set)
        assert fire_due(catalog, ROOM) == []
        now = add(catalog, image_set, due_at=1.0, catch_up_seconds=0)
        later = get(catalog, now).next_due_at
        assert later == 1.0
        (fired,) = fire_due(catalog, ROOM)
        assert fired == Fired(now, 1.0, "missed")

    def test_a_clock_that_goes_back_fires_nothing_twice(
        self, catalog: Catalog, image_set: str
    ) -> None:
        a = add(catalog, image_set, due_at=T0, overlap="queue")
        fire_due(catalog, ROOM, T0)
        with catalog.write() as session:
            row: Any = session.get(ScheduleRow, a)
            row.next_due_at = T0
        assert fire_due(catalog, ROOM, T0 + 1) == []
        assert count_jobs(catalog) == 1
        assert get(catalog, a).next_due_at == T0 + HOUR

    def test_paused_and_resumed(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0)
        with catalog.write() as session:
            schedules.change(session, a, ScheduleUpdate(paused=True))
        assert get(catalog, a).next_due_at is None
        assert fire_due(catalog, ROOM, T0 + DAY) == []
        with catalog.write() as session:
            row = schedules.change(session, a, ScheduleUpdate(paused=False))
            assert row.next_due_at is not None
            assert row.next_due_at > row.created_at
        assert ticks(catalog, a) == []

    def test_a_job_that_cannot_be_created_is_told_and_the_others_go_on(
        self, catalog: Catalog, image_set: str
    ) -> None:
        a = add(catalog, image_set, due_at=T0, job={"model": "tiny"})
        b = add(catalog, image_set, due_at=T0 + 1)
        with catalog.write() as session:
            row: Any = session.get(ScheduleRow, a)
            row.job = {**row.job, "model": "gone"}
        fired = fire_due(catalog, ROOM, T0 + 2)
        assert [(f.schedule_id, f.outcome) for f in fired] == [(a, "failed"), (b, "fired")]
        (tick,) = ticks(catalog, a)
        assert tick.job_id is None
        assert tick.problem is not None
        assert tick.problem["code"] == "not-found"
        assert get(catalog, a).next_due_at == T0 + HOUR
        fire_due(catalog, ROOM, T0 + HOUR)
        assert outcomes(catalog, a) == [(T0, "failed"), (T0 + HOUR, "failed")]

    @pytest.mark.parametrize(
        ("job", "code"), [({"type": "dream"}, "validation-error"), ({}, "validation-error")]
    )
    def test_a_stored_body_that_means_nothing_any_more(
        self, catalog: Catalog, image_set: str, job: dict[str, Any], code: str
    ) -> None:
        a = add(catalog, image_set, due_at=T0)
        with catalog.write() as session:
            row: Any = session.get(ScheduleRow, a)
            row.job = job
        fire_due(catalog, ROOM, T0)
        (tick,) = ticks(catalog, a)
        assert (tick.outcome, (tick.problem or {})["code"]) == ("failed", code)

    def test_no_room(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0)
        fire_due(catalog, 1, T0)
        (tick,) = ticks(catalog, a)
        assert (tick.outcome, (tick.problem or {})["code"]) == ("failed", QuotaExceeded.code)
        assert count_jobs(catalog) == 0

    def test_a_bug_is_noted_and_leaves_nothing_half_done(
        self, catalog: Catalog, image_set: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a = add(catalog, image_set, due_at=T0)
        create = jobs.new_job_row

        def broken(*args: Any, **values: Any) -> JobRow:
            create(*args, **values)
            raise RuntimeError("/secret/path")

        monkeypatch.setattr(jobs, "new_job_row", broken)
        fire_due(catalog, ROOM, T0)
        (tick,) = ticks(catalog, a)
        assert tick.outcome == "failed"
        assert "RuntimeError" in (tick.problem or {})["detail"]
        assert "/secret" not in str(tick.problem)
        assert count_jobs(catalog) == 0

    def test_a_zone_that_is_not_known_any_more(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0)
        with catalog.write() as session:
            row: Any = session.get(ScheduleRow, a)
            row.time_zone = "Europe/Atlantis"
        assert [f.outcome for f in fire_due(catalog, ROOM, T0)] == ["failed"]
        assert get(catalog, a).paused
        assert fire_due(catalog, ROOM, T0 + DAY) == []


class TestOverlap:
    def test_skip(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0)
        (first,) = fire_due(catalog, ROOM, T0)
        (second,) = fire_due(catalog, ROOM, T0 + HOUR)
        assert (second.outcome, second.job_id) == ("skipped", None)
        jobs.cancel(catalog, first.job_id or "")
        (third,) = fire_due(catalog, ROOM, T0 + 2 * HOUR)
        assert third.outcome == "fired"
        skipped = ticks(catalog, a)[1]
        assert (first.job_id or "?") in (skipped.problem or {})["detail"]
        assert count_jobs(catalog) == 2

    def test_queue_begins_when_the_earlier_one_is_done(
        self, catalog: Catalog, image_set: str
    ) -> None:
        from storage.catalog.advancing import due_jobs

        add(catalog, image_set, due_at=T0, overlap="queue")
        fired = [fire_due(catalog, ROOM, T0 + i * HOUR)[0] for i in range(3)]
        assert [f.outcome for f in fired] == ["fired"] * 3
        for i in range(3):
            with catalog.read() as session:
                assert [job.id for job in due_jobs(session, 10)] == [fired[i].job_id]
            jobs.cancel(catalog, fired[i].job_id or "")


class TestMissed:
    """The service was away; `now` is when it is back."""

    def test_the_latest_is_made_up_for_and_the_others_are_one_row(
        self, catalog: Catalog, image_set: str
    ) -> None:
        a = add(catalog, image_set, due_at=T0)
        fired = fire_due(catalog, ROOM, T0 + 10 * HOUR + 600)
        assert [(f.due_at, f.outcome) for f in fired] == [
            (T0, "missed"),
            (T0 + 10 * HOUR, "fired"),
        ]
        missed, _ = ticks(catalog, a)
        assert "at 10 due time(s)" in (missed.problem or {})["detail"]
        assert get(catalog, a).next_due_at == T0 + 11 * HOUR
        assert count_jobs(catalog) == 1

    def test_one_late_due_time_is_just_fired(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0, catch_up_seconds=1800)
        fire_due(catalog, ROOM, T0 + 1700)
        assert outcomes(catalog, a) == [(T0, "fired")]

    @pytest.mark.parametrize(
        ("catch_up_seconds", "late_seconds", "outcome"),
        [(0, 30, "fired"), (0, 61, "missed"), (1800, 1801, "missed"), (7200, 3500, "fired")],
    )
    def test_too_old(
        self, catalog: Catalog, image_set: str, catch_up_seconds: float, late_seconds: float,
        outcome: str,
    ) -> None:  # fmt: skip
        a = add(catalog, image_set, due_at=T0, catch_up_seconds=catch_up_seconds)
        fire_due(catalog, ROOM, T0 + late_seconds)
        assert outcomes(catalog, a) == [(T0, outcome)]
        assert count_jobs(catalog) == (1 if outcome == "fired" else 0)

    @pytest.mark.timeout(60)
    def test_a_year_of_minutes_is_one_row(self, catalog: Catalog, image_set: str) -> None:
        a = add(
            catalog, image_set, due_at=T0, cron="* * * * *", time_zone="Europe/Berlin",
            catch_up_seconds=604800,
        )  # fmt: skip
        fire_due(catalog, ROOM, T0 + 365 * DAY + 10)
        assert outcomes(catalog, a) == [(T0, "missed"), (T0 + 365 * DAY, "fired")]
        assert "more than 1000" in (ticks(catalog, a)[0].problem or {})["detail"]


class TestManySchedulers:
    def test_threads_fire_each_due_time_once(self, catalog: Catalog, image_set: str) -> None:
        made = [add(catalog, image_set, due_at=T0, overlap="queue") for _ in range(5)]
        start = threading.Barrier(4)
        found: list[Fired] = []

        def look() -> None:
            start.wait()
            for i in range(3):
                found.extend(fire_due(catalog, ROOM, T0 + i * HOUR))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert count_jobs(catalog) == 15
        assert len(found) == 15
        for schedule_id in made:
            assert outcomes(catalog, schedule_id) == [(T0 + i * HOUR, "fired") for i in range(3)]

    def test_dying_in_the_transaction_leaves_neither_tick_nor_job(
        self, catalog: Catalog, image_set: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a = add(catalog, image_set, due_at=T0)

        def dies(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("storage.catalog.schedules.change_tick", dies)
            with pytest.raises(KeyboardInterrupt):
                fire_due(catalog, ROOM, T0)
        assert (ticks(catalog, a), count_jobs(catalog)) == ([], 0)
        assert [f.outcome for f in fire_due(catalog, ROOM, T0)] == ["fired"]


class TestChange:
    def test_what_is_left_out_stays(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, due_at=T0)
        with catalog.write() as session:
            row = schedules.change(session, a, ScheduleUpdate(name="other"))
        assert (row.name, row.cron, row.next_due_at) == ("other", "0 * * * *", T0)
        with catalog.write() as session:
            row = schedules.change(session, a, ScheduleUpdate(time_zone="Asia/Kathmandu"))
        assert row.next_due_at is not None
        assert row.next_due_at % HOUR == 900  # of the zone that is 5:45 ahead

    @pytest.mark.parametrize(
        "change",
        [{"cron": "99 * * * *"}, {"time_zone": "Mars/Phobos"}, {"job": {"model": "gone"}}],
    )
    def test_refused_changes_nothing(
        self, catalog: Catalog, image_set: str, change: dict[str, Any]
    ) -> None:
        a = add(catalog, image_set)
        before = get(catalog, a)
        if "job" in change:
            change = {"job": body(image_set, **change["job"])}
        request = ScheduleUpdate.model_validate(change)
        with pytest.raises(ProblemError), catalog.write() as session:
            schedules.change(session, a, request)
        after = get(catalog, a)
        for name in ("cron", "time_zone", "job", "next_due_at"):
            assert getattr(after, name) == getattr(before, name)

    def test_creating_leaves_no_job_behind(self, catalog: Catalog, image_set: str) -> None:
        add(catalog, image_set)
        assert count_jobs(catalog) == 0
        with pytest.raises(ValidationProblem):
            add(catalog, image_set, cron="0 0 31 2 *")

    def test_unknown(self, catalog: Catalog) -> None:
        with catalog.read() as session, pytest.raises(NotFound):
            schedules.get_schedule(session, "sch_x")


class TestRunNow:
    def test_paused_and_busy(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set, paused=True)
        for _ in range(2):
            with catalog.write() as session:
                job = schedules.run_now(session, a, ROOM, "key_b")
                assert (job.schedule_id, job.created_by) == (a, "key_b")
        assert [t.outcome for t in ticks(catalog, a)] == ["fired", "fired"]
        assert get(catalog, a).next_due_at is None

    def test_what_is_wrong_is_told_to_who_asks(self, catalog: Catalog, image_set: str) -> None:
        a = add(catalog, image_set)
        with pytest.raises(QuotaExceeded), catalog.write() as session:
            schedules.run_now(session, a, 1, "key_b")
        assert ticks(catalog, a) == []


@pytest.fixture
def statements(catalog: Catalog) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            found.append(statement)

    event.listen(catalog.engine, "before_cursor_execute", note)
    yield found
    event.remove(catalog.engine, "before_cursor_execute", note)


def test_looking_costs_one_query(catalog: Catalog, image_set: str, statements: list[str]) -> None:
    for _ in range(20):
        add(catalog, image_set)
    statements.clear()
    assert fire_due(catalog, ROOM) == []
    assert len(statements) == 1
