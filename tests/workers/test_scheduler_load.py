"""A turn of the scheduler costs the same however many jobs wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update

from api_schemas.ids import new_id
from domain import planning
from storage.catalog.advancing import due_jobs
from storage.catalog.tables import JobRow
from tests.support.api import get_job, post_images, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation


@pytest.fixture
def labelled_site(site: Installation, tmp_path: Path) -> Installation:
    site.add_tiny_model(tmp_path / "tiny")
    return site


def copies(site: Installation, job_id: str, n: int, **changes: Any) -> list[str]:
    """Rows like that of a job."""
    with site.catalog.write() as session:
        row = session.get(JobRow, job_id)
        values = {c.name: getattr(row, c.name) for c in JobRow.__table__.columns}
        rows = [{**values, "id": new_id("job"), **changes} for _ in range(n)]
        session.execute(insert(JobRow), rows)
    return [str(row["id"]) for row in rows]


@contextmanager
def statements(site: Installation) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            found.append(statement)

    event.listen(site.catalog.engine, "before_cursor_execute", note)
    yield found
    event.remove(site.catalog.engine, "before_cursor_execute", note)


def test_jobs_that_wait_cost_nothing(labelled_site: Installation) -> None:
    site = labelled_site
    image_set = post_set(site, {"0.png": png_bytes(0)})["id"]
    body: dict[str, Any] = {"type": "generate", "image_set": image_set, "model": "tiny"}
    later = start_job(site, **body, schedule_at="2030-01-01T00:00:00Z")["id"]
    site.scheduler.turn()  # the first one sweeps

    def cost() -> tuple[int, float]:
        with statements(site) as found:
            started = time.perf_counter()
            site.scheduler.turn()
            return len(found), time.perf_counter() - started

    few, _ = cost()
    copies(site, later, 1000)
    # at work: all their images are with workers, or wait for them
    copies(site, later, 500, schedule_at=None, status="running", phase="label", queued=0,
           running=1, planned=1)  # fmt: skip
    copies(site, later, 50, schedule_at=None, status="cancelling", queued=0, running=1, planned=1)
    copies(site, later, 2000, schedule_at=None, status="succeeded", phase="done", queued=0,
           succeeded=1, planned=1)  # fmt: skip
    many, seconds = cost()
    assert many == few <= 14
    assert seconds < 1.0  # 10 ms where nothing else runs
    with site.catalog.read() as session:
        assert due_jobs(session, 10) == []


def test_planning_gives_way_to_dispatch(
    labelled_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = labelled_site
    image_set = post_set(site, {f"{i}.png": png_bytes(i) for i in range(3)})["id"]
    first = start_job(site, type="generate", image_set=image_set, model="tiny",
                      pipeline={"select": None})["id"]  # fmt: skip
    waiting = copies(site, first, 1000)
    monkeypatch.setattr("workers.scheduler.MAX_ADVANCE_SECONDS", 0.2)
    started = time.perf_counter()
    assert site.scheduler.turn()  # there is more to do at once
    assert time.perf_counter() - started < 5.0
    assert site.queue.sent  # but the workers have something
    with site.catalog.read() as session:
        queued = session.scalar(
            select(func.count()).where(JobRow.id.in_(waiting), JobRow.status == "queued")
        )
        assert 0 < (queued or 0) < 1000
    urgent = copies(site, waiting[-1], 1, priority=9)[0]
    site.queue.sent.clear()
    site.scheduler.turn()
    assert get_job(site, urgent)["status"] == "running"  # the first to be planned


def test_one_large_job_is_planned_in_several_turns(
    labelled_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = labelled_site
    monkeypatch.setattr(planning, "BATCH_ROWS", 2)
    monkeypatch.setattr("workers.scheduler.MAX_ADVANCE_SECONDS", 0.0)
    job_id = post_images(
        site, {f"{i}.png": png_bytes(i) for i in range(5)}, pipeline={"select": None}
    )["job"]["id"]
    turns, answers = 0, iter([True])
    monkeypatch.setattr(site.scheduler, "_has_time", lambda: next(answers))
    while get_job(site, job_id)["status"] in ("queued", "validating"):
        answers = iter([True, False, False])
        site.scheduler.turn()
        turns += 1
    assert turns == 3
    monkeypatch.undo()
    site.settle()
    assert get_job(site, job_id)["counts"]["succeeded"] == 5


def test_a_large_job_is_cancelled_in_one_turn(labelled_site: Installation) -> None:
    site = labelled_site
    job_id = post_images(site, {"0.png": png_bytes(0)}, pipeline={"select": None})["job"]["id"]
    site.scheduler.turn()
    site.queue.sent.clear()
    with site.catalog.write() as session:
        from storage.catalog.tables import JobItemRow

        rows = [
            {"job_id": job_id, "position": i, "external_id": f"{i}", "file_name": "x",
             "status": "queued", "attempts": 0, "kills": 0}
            for i in range(1, 2001)
        ]  # fmt: skip
        session.execute(insert(JobItemRow), rows)
        session.execute(
            update(JobRow).where(JobRow.id == job_id).values(total=2001, planned=2001, queued=2001)
        )
    site.client.post(f"/v1/jobs/{job_id}:cancel")
    site.scheduler.turn()
    job = get_job(site, job_id)
    assert (job["status"], job["counts"]["cancelled"]) == ("cancelled", 2001)


def test_a_store_that_is_away_does_not_keep_the_others_waiting(
    labelled_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api_schemas.problems import StorageUnavailable

    site = labelled_site
    calls: list[str] = []

    def away(_catalog: Any, _objects: Any, job_id: str) -> None:
        calls.append(job_id)
        raise StorageUnavailable("away")

    monkeypatch.setattr("workers.scheduler.join_pilot", away)
    job_id = post_images(site, {"0.png": png_bytes(0)}, pipeline={"seed": 1})["job"]["id"]
    site.settle()
    site.scheduler.turn()
    assert calls == [job_id]  # not at every turn
    assert get_job(site, job_id)["status"] == "running"
    monkeypatch.undo()
    monkeypatch.setattr("workers.scheduler.STORE_PAUSE_SECONDS", 0.0)
    site.scheduler._pauses.clear()
    site.settle()
    assert get_job(site, job_id)["status"] == "succeeded"
