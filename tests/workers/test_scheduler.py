from pathlib import Path
from typing import Any

import pytest

from tests.support.api import get_job, post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import get_chunks


@pytest.fixture
def job_id(sqlite_site: Installation, tmp_path: Path) -> str:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    return str(post_images(sqlite_site, {"a.png": png_bytes(1)})["job"]["id"])


def test_a_wiped_broker_gets_its_messages_again_at_once(
    sqlite_site: Installation, job_id: str
) -> None:
    site = sqlite_site
    site.scheduler.turn()
    (chunk_id,) = site.queue.sent
    site.queue.sent.clear()  # the message is gone
    site.scheduler.turn()
    assert site.queue.sent == []
    site.queue.wiped = True
    site.scheduler.turn()
    assert site.queue.sent == [chunk_id]
    site.settle()
    assert get_job(site, job_id)["status"] == "succeeded"
    assert [c.id for c in get_chunks(site.catalog, job_id)] == [chunk_id]


def test_a_message_that_comes_twice_is_worked_on_once(
    sqlite_site: Installation, job_id: str
) -> None:
    sqlite_site.scheduler.turn()
    sqlite_site.queue.sent *= 2
    sqlite_site.settle()
    job = get_job(sqlite_site, job_id)
    assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 1)


def test_a_job_that_cannot_go_on_does_not_stop_the_others(
    sqlite_site: Installation, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from domain import planning

    plan = planning.plan

    def broken_for_one(catalog: object, wanted: str, *args: Any, **options: Any) -> None:
        if wanted == job_id:
            raise RuntimeError("broken")
        plan(sqlite_site.catalog, wanted, *args, **options)

    monkeypatch.setattr(planning, "plan", broken_for_one)
    other = post_images(sqlite_site, {"b.png": png_bytes(2)})["job"]["id"]
    for _ in range(7):
        sqlite_site.scheduler.turn()
    sqlite_site.settle()
    assert get_job(sqlite_site, other)["status"] == "succeeded"
    job = get_job(sqlite_site, job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "job-stuck")
    assert job["counts"]["cancelled"] == 1
