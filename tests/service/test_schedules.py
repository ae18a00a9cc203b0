"""Schedules over HTTP, and what the scheduler makes of them."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from storage.catalog.tables import ScheduleRow
from tests.support.api import get_job, post_images, post_set
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key
from workers.scheduler import Scheduler

IMAGES = {f"{i}.png": png_bytes(i) for i in range(2)}


def body(site: Installation, **more: Any) -> dict[str, Any]:
    image_set = post_set(site, IMAGES)["id"]
    job = {"type": "generate", "image_set": image_set, "model": "tiny"}
    return {"name": "nightly", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "job": job,
            **more}  # fmt: skip


def post(site: Installation, **more: Any) -> dict[str, Any]:
    answer = site.client.post("/v1/schedules", json=body(site, **more))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def make_due(site: Installation, schedule_id: str) -> None:
    with site.catalog.write() as session:
        session.execute(
            update(ScheduleRow)
            .where(ScheduleRow.id == schedule_id)
            .values(next_due_at=time.time() - 1)
        )


def ticks(site: Installation, schedule_id: str) -> list[dict[str, Any]]:
    found = site.client.get(f"/v1/schedules/{schedule_id}/ticks").json()["ticks"]
    assert isinstance(found, list)
    return found


def test_from_creation_to_labels(both_site: Installation) -> None:
    site = both_site
    wanted = body(site)
    answer = site.client.post("/v1/schedules", json=wanted)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/v1/schedules/{made['id']}" == made["links"]["self"]
    assert {k: made[k] for k in wanted} == wanted
    assert (made["overlap"], made["catch_up_seconds"], made["paused"]) == ("skip", 3600.0, False)
    assert len(made["upcoming"]) == 3
    assert made["upcoming"] == sorted(made["upcoming"])
    assert site.client.get(made["links"]["self"]).json() == made
    site.settle()
    assert site.client.get("/v1/jobs").json()["jobs"] == []
    make_due(site, made["id"])
    site.settle()
    (tick,) = ticks(site, made["id"])
    job = get_job(site, tick["job"])
    assert (job["status"], job["schedule"]) == ("succeeded", made["id"])
    assert (tick["outcome"], "problem" in tick and tick["problem"]) == ("fired", None)


def test_two_schedulers_fire_once(both_site: Installation) -> None:
    site = both_site
    made = post(site)
    other = Scheduler(site.settings, site.catalog, site.objects, site.queue)
    make_due(site, made["id"])
    for scheduler in (other, site.scheduler, other):
        scheduler.turn()
    assert [t["outcome"] for t in ticks(site, made["id"])] == ["fired"]
    assert len(site.client.get("/v1/jobs").json()["jobs"]) == 1


def test_refine_uses_the_model_that_is_current_when_it_fires(
    both_site: Installation, tmp_path: Path
) -> None:
    site = both_site
    old = post_images(site, IMAGES)["job"]["id"]
    site.settle()
    made = post(site, job={"type": "refine", "labels": {"job": old}})
    for number in (2, 3):
        site.add_tiny_model(tmp_path / f"{number}", seed=number)
        make_due(site, made["id"])
        site.settle()
        job = get_job(site, ticks(site, made["id"])[0]["job"])
        assert (job["status"], job["model"]) == ("succeeded", f"tiny:{number}")
        assert job["refined_from"] == old


def test_pause_resume_run_delete(both_site: Installation) -> None:
    site = both_site
    made = post(site)
    path = made["links"]["self"]
    for _ in range(2):
        paused = site.client.post(f"{path}:pause").json()
        assert (paused["paused"], paused["upcoming"]) == (True, [])
    answer = site.client.post(f"{path}:run")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert job["schedule"] == made["id"]
    site.settle()
    resumed = site.client.post(f"{path}:resume").json()
    assert (resumed["paused"], resumed["upcoming"]) == (False, made["upcoming"])
    assert site.client.delete(path).status_code == 204
    assert site.client.get(path).status_code == 404
    assert site.client.get(f"{path}/ticks").status_code == 404
    left = get_job(site, job["id"])
    assert (left["status"], left["schedule"]) == ("succeeded", None)


def test_change(tiny_site: Installation) -> None:
    path = post(tiny_site)["links"]["self"]
    change = {"cron": "0 4 * * *", "time_zone": "UTC", "overlap": "queue", "name": "x"}
    answer = tiny_site.client.patch(path, json=change)
    assert answer.status_code == 200
    changed = answer.json()
    assert {k: changed[k] for k in change} == change
    assert [t[10:] for t in changed["upcoming"]] == ["T04:00:00Z"] * 3
    assert tiny_site.client.patch(path, json={}).json() == changed


def test_pages(tiny_site: Installation) -> None:
    made = [post(tiny_site)["id"] for _ in range(3)]
    first = tiny_site.client.get("/v1/schedules", params={"page_size": 2}).json()
    token = first["next_page_token"]
    rest = tiny_site.client.get("/v1/schedules", params={"page_token": token}).json()
    assert [s["id"] for s in first["schedules"] + rest["schedules"]] == made[::-1]
    assert rest["next_page_token"] is None
    for _ in range(3):
        tiny_site.client.post(f"/v1/schedules/{made[0]}:run")
    path, found, token = f"/v1/schedules/{made[0]}/ticks", [], None
    for size in (2, 1):
        params = {"page_size": 2, **({"page_token": token} if token else {})}
        page = tiny_site.client.get(path, params=params).json()
        assert len(page["ticks"]) == size
        found += [t["due_at"] for t in page["ticks"]]
        token = page["next_page_token"]
    assert found == sorted(set(found), reverse=True)
    for bad in ("bmFu", "aW5m", "YWJj", "%%%"):  # nan, inf, abc
        answer = tiny_site.client.get(path, params={"page_token": bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")


def test_idempotency(tiny_site: Installation) -> None:
    wanted = body(tiny_site)
    headers = {"Idempotency-Key": "nightly"}
    answers = [
        tiny_site.client.post("/v1/schedules", json=wanted, headers=headers) for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    path = f"/v1/schedules/{answers[0].json()['id']}:run"
    runs = [tiny_site.client.post(path, headers={"Idempotency-Key": "now"}) for _ in range(2)]
    assert runs[0].json()["id"] == runs[1].json()["id"]
    assert len(tiny_site.client.get("/v1/jobs").json()["jobs"]) == 1


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        ({"cron": "61 * * * *"}, 422, "/cron"),
        ({"cron": "* * * * * *"}, 422, "/cron"),
        ({"cron": "0 0 31 2 *"}, 422, "/cron"),
        ({"cron": "* * * * *" + " " * 200}, 422, "/cron"),
        ({"time_zone": "../../etc/passwd"}, 422, "/time_zone"),
        ({"time_zone": "Mars"}, 422, "/time_zone"),
        ({"name": ""}, 422, "/name"),
        ({"name": "a\u0001b"}, 422, "/name"),
        ({"overlap": "kill"}, 422, "/overlap"),
        ({"catch_up_seconds": -1}, 422, "/catch_up_seconds"),
        ({"catch_up_seconds": 1e300}, 422, "/catch_up_seconds"),
        ({"more": 1}, 422, "/more"),
        ({"job": None}, 422, "/job"),
        ({"job": {"type": "dream"}}, 422, "/job"),
        ({"job": {"type": "generate", "image_set": "set_00000000000000000000000000",
                  "model": "tiny"}}, 404, None),
        ({"job": {"type": "refine", "labels": {"job": "job_00000000000000000000000000"}}},
         404, None),
    ],
)  # fmt: skip
def test_refusals(
    tiny_site: Installation, change: dict[str, Any], status: int, where: str | None
) -> None:
    answer = tiny_site.client.post("/v1/schedules", json=body(tiny_site, **change))
    assert answer.status_code == status, answer.text
    assert "/work" not in answer.text
    if where:
        assert answer.json()["errors"][0]["pointer"].startswith(where)
    assert tiny_site.client.get("/v1/schedules").json()["schedules"] == []
    assert tiny_site.client.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize("name", ["schedule_at", "deadline_at"])
def test_times_of_one_run_are_refused(tiny_site: Installation, name: str) -> None:
    wanted = body(tiny_site)
    wanted["job"][name] = "2099-01-01T00:00:00Z"
    answer = tiny_site.client.post("/v1/schedules", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert name in answer.json()["detail"]


def test_a_schedule_may_do_what_its_key_may_do(tiny_site: Installation) -> None:
    site = tiny_site
    wanted = body(site)
    _, key = make_key(site.catalog, "write", quota={"jobs": 1})
    adapt = {"type": "adapt", "image_set": wanted["job"]["image_set"], "model": "tiny"}
    answer = site.client.post("/v1/schedules", json=wanted | {"job": adapt}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    made = site.client.post("/v1/schedules", json=wanted | {"overlap": "queue"}, headers=key).json()
    path = made["links"]["self"]
    answer = site.client.patch(path, json={"job": adapt}, headers=key)
    assert answer.status_code == 403
    for _ in range(2):
        make_due(site, made["id"])
        site.scheduler.turn()
    found = site.client.get(f"{path}/ticks", headers=key).json()["ticks"]
    assert [t["outcome"] for t in found] == ["failed", "fired"]
    assert found[0]["problem"]["code"] == "quota-exceeded"
    answer = site.client.post(f"{path}:run", headers=key)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota-exceeded")
