"""schedule_at and deadline_at, over HTTP and through the scheduler."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from storage.catalog.tables import JobRow
from tests.support.api import get_items, get_job, nonzero, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import ALL_HANDLERS, Installation
from workers.run_chunk import run_chunk

IMAGES = {f"{i}.png": png_bytes(i) for i in range(6)}


def ahead(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def move_time(site: Installation, job_id: str, **times: float | None) -> None:
    """Set the times of a job, in seconds since the epoch."""
    with site.catalog.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(**times))


def body(site: Installation, **more: Any) -> dict[str, Any]:
    image_set = post_set(site, IMAGES)["id"]
    argmax = {"select": None}
    return {
        "type": "generate", "image_set": image_set, "model": "tiny", "pipeline": argmax, **more,
    }  # fmt: skip


class TestScheduleAt:
    def test_waits_for_its_time_beside_a_job_that_does_not(self, both_site: Installation) -> None:
        site = both_site
        wanted = body(site, schedule_at=ahead(1), priority=9)
        later = start_job(site, **wanted)
        assert datetime.fromisoformat(later["schedule_at"]) == datetime.fromisoformat(
            wanted["schedule_at"]
        )
        now = start_job(site, **body(site))
        site.settle()
        assert get_job(site, now["id"])["status"] == "succeeded"
        job = get_job(site, later["id"])
        assert (job["status"], job["started_at"]) == ("queued", None)
        assert nonzero(job["counts"]) == {"total": 6, "queued": 6}
        move_time(site, later["id"], schedule_at=1.0)
        site.settle()
        assert get_job(site, later["id"])["status"] == "succeeded"

    def test_the_past_means_now(self, tiny_site: Installation) -> None:
        for past in ("2020-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"):
            job = start_job(tiny_site, **body(tiny_site, schedule_at=past))
            assert job["schedule_at"] is None
            tiny_site.settle()
            assert get_job(tiny_site, job["id"])["status"] == "succeeded"

    def test_cancel_before_its_time(self, tiny_site: Installation) -> None:
        job_id = start_job(tiny_site, **body(tiny_site, schedule_at=ahead(1)))["id"]
        answer = tiny_site.client.post(f"/v1/jobs/{job_id}:cancel")
        assert answer.json()["status"] == "cancelled"


class TestDeadlineAt:
    def test_finished_labels_stay_and_the_rest_is_cancelled(self, both_site: Installation) -> None:
        site = both_site
        job_id = start_job(site, **body(site, deadline_at=ahead(1)))["id"]
        site.schedule()
        run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))  # four of six
        move_time(site, job_id, deadline_at=1.0)
        site.settle()
        job = get_job(site, job_id)
        assert (job["status"], job["done"], job["result"]) == ("expired", True, None)
        assert job["error"]["code"] == "deadline-exceeded"
        assert "2 of 6" in job["error"]["detail"]
        assert nonzero(job["counts"]) == {"total": 6, "succeeded": 4, "cancelled": 2}
        done = [i for i in get_items(site, job_id).values() if i["status"] == "succeeded"]
        for item in done:
            assert site.client.get(f"/v1/labels/{item['label_id']}").status_code == 200
        retried = site.client.post(f"/v1/jobs/{job_id}:retry").json()
        assert (retried["deadline_at"], retried["schedule_at"]) == (None, None)
        site.settle()
        assert get_job(site, retried["id"])["status"] == "succeeded"

    def test_while_a_worker_holds_its_images(self, both_site: Installation) -> None:
        from domain import leases

        site = both_site
        job_id = start_job(site, **body(site, deadline_at=ahead(1)))["id"]
        site.schedule()
        claimed = leases.claim(site.catalog, site.queue.sent.pop(0), "wrk_a", 60.0)
        assert claimed is not None
        move_time(site, job_id, deadline_at=1.0)
        site.schedule()
        assert get_job(site, job_id)["status"] == "cancelling"
        assert leases.renew(site.catalog, claimed.lease, 60.0) == "cancelling"  # told to stop
        leases.release(site.catalog, claimed.lease)
        site.settle()
        assert get_job(site, job_id)["status"] == "expired"

    def test_before_it_begins(self, both_site: Installation) -> None:
        site = both_site
        wanted = body(site, schedule_at=ahead(1), deadline_at=ahead(2))
        job_id = start_job(site, **wanted)["id"]
        move_time(site, job_id, deadline_at=1.0)
        site.settle()
        job = get_job(site, job_id)
        assert (job["status"], job["started_at"]) == ("expired", None)
        assert nonzero(job["counts"]) == {"total": 6, "cancelled": 6}

    def test_too_late_for_a_job_that_is_done_or_cancelled(self, tiny_site: Installation) -> None:
        site = tiny_site
        done = start_job(site, **body(site, deadline_at=ahead(1)))["id"]
        site.settle()
        cancelled = start_job(site, **body(site, deadline_at=ahead(1)))["id"]
        site.client.post(f"/v1/jobs/{cancelled}:cancel")
        for job_id in (done, cancelled):
            move_time(site, job_id, deadline_at=1.0)
        site.settle()
        assert get_job(site, done)["status"] == "succeeded"
        assert get_job(site, cancelled)["status"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"schedule_at": "2030-01-01T00:00:00"}, "/schedule_at"),  # no zone
        ({"schedule_at": 1900000000}, "/schedule_at"),
        ({"schedule_at": "tonight"}, "/schedule_at"),
        ({"schedule_at": "9999-12-31T23:59:59-14:00"}, "/schedule_at"),
        ({"schedule_at": ahead(24 * 4000)}, "/schedule_at"),
        ({"deadline_at": ahead(24 * 4000)}, "/deadline_at"),
        ({"deadline_at": "2020-01-01T00:00:00Z"}, "/deadline_at"),
        ({"deadline_at": ahead(1), "schedule_at": ahead(2)}, "/deadline_at"),
        ({"deadline_at": "2030-01-01T00:00:00Z", "schedule_at": "2030-01-01T02:00:00+02:00"},
         "/deadline_at"),  # the same moment
    ],
)  # fmt: skip
def test_refused(tiny_site: Installation, change: dict[str, Any], pointer: str) -> None:
    answer = tiny_site.client.post("/v1/jobs", json=body(tiny_site, **change))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert answer.json()["errors"][0]["pointer"].endswith(pointer)
    assert tiny_site.client.get("/v1/jobs").json()["jobs"] == []
