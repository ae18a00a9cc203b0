import json
from typing import Any

import pytest

from tests.support.api import get_items, get_job, nonzero, post_images, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {f"{i}.png": png_bytes(i) for i in range(4)}
NO_JOB = "job_00000000000000000000000000"


class TestCreate:
    def test_generate_on_an_image_set(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, IMAGES)["id"]
        body = {
            "type": "generate",
            "image_set": image_set,
            "model": "tiny:1",
            "priority": 3,
            "metadata": {"ticket": "ML-42"},
        }
        answer = site.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
        assert answer.headers["Retry-After"] == "1"
        assert (job["type"], job["model"], job["priority"]) == ("generate", "tiny:1", 3)
        assert (job["status"], job["done"], job["metadata"]) == (
            "queued", False, {"ticket": "ML-42"},
        )  # fmt: skip
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["done"], job["progress"]["fraction"]) == ("succeeded", True, 1.0)
        assert job["stages"] == [
            {"name": "predict", "done": 4, "failed": 0},
            {"name": "select", "done": 4, "failed": 0},
        ]
        assert job["error"] is None
        assert job["finished_at"] >= job["started_at"] >= job["created_at"]

    def test_class_balanced_selection_uses_one_fit_for_all(self, tiny_site: Installation) -> None:
        pipeline = {"select": {"mode": "class_balanced", "keep_fraction": 0.5}}
        job_id = post_images(tiny_site, IMAGES, pipeline=pipeline)["job"]["id"]
        tiny_site.settle()
        labels = [
            tiny_site.client.get(f"/v1/labels/{item['label_id']}").json()
            for item in get_items(tiny_site, job_id).values()
        ]
        assert len({label["lineage"]["pilot_fit"] for label in labels}) == 1
        coverage = sum(label["coverage"] for label in labels) / 4
        assert coverage == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"model": "nobody"}, 404, "not-found"),
            ({"model": "tiny:9"}, 404, "not-found"),
            ({"model": "Not A Name"}, 422, "validation-error"),
            ({"image_set": "set_00000000000000000000000000"}, 404, "not-found"),
            ({"image_set": "set_x"}, 422, "validation-error"),
            ({"type": "dream"}, 422, "validation-error"),
            ({"modell": "tiny"}, 422, "validation-error"),
            ({"priority": 101}, 422, "validation-error"),
            ({"pipeline": {"predikt": {}}}, 422, "validation-error"),
            ({"pipeline": {"select": {"keep_fraction": 0}}}, 422, "validation-error"),
            ({"pipeline": {"select": {"thresholds": [0.5, 0.5]}}}, 422, "validation-error"),
            ({"pipeline": {"select": {"thresholds": 0.5, "scope": "image"}}}, 422,
             "validation-error"),
            ({"pipeline": {"rectify": {}}}, 422, "rectifier-missing"),
            ({"pipeline": {"aggregate": {"x": 1}}}, 422, "validation-error"),
            ({"pipeline": {"aggregate": {"region_model": "nobody"}}}, 404, "not-found"),
            ({"pipeline": {"correct": {"mode": "counting"}}}, 422, "validation-error"),
        ],
    )  # fmt: skip
    def test_refusals(
        self, tiny_site: Installation, change: dict[str, Any], status: int, code: str
    ) -> None:
        body = {"type": "generate", "image_set": post_set(tiny_site, IMAGES)["id"], "model": "tiny"}
        answer = tiny_site.client.post("/v1/jobs", json=body | change)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert len(answer.json()["detail"]) > 20
        assert tiny_site.client.get("/v1/jobs").json()["jobs"] == []

    def test_thresholds_one_for_each_class(self, tiny_site: Installation) -> None:
        pipeline = {"select": {"thresholds": [0.1, 0.2, 0.3]}}
        job_id = post_images(tiny_site, IMAGES, pipeline=pipeline)["job"]["id"]
        tiny_site.settle()
        assert get_job(tiny_site, job_id)["status"] == "succeeded"

    def test_no_room(self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        old = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        settings = tiny_site.settings
        monkeypatch.setitem(settings.__dict__, "max_queued_images", 3)
        image_set = get_job(tiny_site, old)["image_set"]
        body = {"type": "generate", "image_set": image_set, "model": "tiny"}
        for path, document in (("/v1/jobs", body), (f"/v1/jobs/{old}:retry", {"only": "all"})):
            answer = tiny_site.client.post(path, json=document)
            assert (answer.status_code, answer.json()["code"]) == (429, "quota-exceeded")
            assert answer.headers["Retry-After"] == "60"


class TestRead:
    def test_etag(self, both_site: Installation) -> None:
        path = f"/v1/jobs/{post_images(both_site, IMAGES)['job']['id']}"
        etag = both_site.client.get(path).headers["ETag"]
        unchanged = both_site.client.get(path, headers={"If-None-Match": etag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        both_site.settle()
        changed = both_site.client.get(path, headers={"If-None-Match": etag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != etag

    def test_pages_of_jobs_newest_first(self, both_site: Installation) -> None:
        image_set = post_set(both_site, IMAGES)["id"]
        made = [
            start_job(both_site, type=kind, image_set=image_set, model="tiny")["id"]
            for kind in ("generate", "generate", "adapt", "generate", "generate")
        ]
        found, token = [], None
        for size in (2, 2, 1):
            params = {"page_size": 2, **({"page_token": token} if token else {})}
            page = both_site.client.get("/v1/jobs", params=params).json()
            assert len(page["jobs"]) == size
            found += [job["id"] for job in page["jobs"]]
            token = page["next_page_token"]
        assert token is None
        assert found == made[::-1]
        only = both_site.client.get("/v1/jobs", params={"type": "adapt"}).json()["jobs"]
        assert [job["id"] for job in only] == [made[2]]
        none = both_site.client.get("/v1/jobs", params={"status": "succeeded"}).json()["jobs"]
        assert none == []

    def test_pages_of_items(self, tiny_site: Installation) -> None:
        job_id = post_images(tiny_site, {**IMAGES, "bad.png": b""})["job"]["id"]
        tiny_site.settle()
        path = f"/v1/jobs/{job_id}/items"
        first = tiny_site.client.get(path, params={"page_size": 3}).json()
        rest = tiny_site.client.get(
            path, params={"page_size": 3, "page_token": first["next_page_token"]}
        ).json()
        assert [i["position"] for i in first["items"] + rest["items"]] == [0, 1, 2, 3, 4]
        assert rest["next_page_token"] is None
        skipped = tiny_site.client.get(path, params={"status": "skipped"}).json()["items"]
        assert [i["external_id"] for i in skipped] == ["bad.png"]

    def test_results(self, tiny_site: Installation) -> None:
        job_id = post_images(tiny_site, {"a.png": png_bytes(1), "bad.png": b""})["job"]["id"]
        path = f"/v1/jobs/{job_id}/results"
        tiny_site.scheduler.turn()
        early = [json.loads(x) for x in tiny_site.client.get(path).text.splitlines()]
        assert [line["status"] for line in early] == ["queued", "skipped"]
        tiny_site.settle()
        answer = tiny_site.client.get(path)
        assert answer.headers["Content-Type"].startswith("application/jsonl")
        good, bad = (json.loads(x) for x in answer.text.splitlines())
        assert (good["external_id"], good["status"], good["coverage"]) == ("a.png", "succeeded", 1)
        for url in (good["label_url"], good["confidence_url"]):
            image = tiny_site.client.get(url)
            assert image.headers["Content-Type"] == "image/png"
            assert image.content.startswith(b"\x89PNG")
        assert (bad["status"], bad["error"]["code"]) == ("skipped", "empty-file")


class TestCancelAndRetry:
    def test_cancel_then_retry(self, both_site: Installation) -> None:
        site = both_site
        job_id = post_images(site, IMAGES)["job"]["id"]
        for _ in range(2):
            answer = site.client.post(f"/v1/jobs/{job_id}:cancel")
            assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
        answer = site.client.post(f"/v1/jobs/{job_id}:retry")
        assert answer.status_code == 202
        new = answer.json()
        assert (new["retry_of"], new["id"] != job_id) == (job_id, True)
        unfinished = site.client.post(f"/v1/jobs/{new['id']}:retry")
        assert (unfinished.status_code, unfinished.json()["code"]) == (409, "state-conflict")
        site.settle()
        assert get_job(site, new["id"])["status"] == "succeeded"

    def test_retry_reuses_the_pilot_fit_and_the_labels(self, tiny_site: Installation) -> None:
        site = tiny_site
        pipeline = {"select": {"keep_fraction": 0.6}}
        old = post_images(site, IMAGES, pipeline=pipeline)["job"]["id"]
        site.settle()
        answer = site.client.post(f"/v1/jobs/{old}:retry", json={"only": "all"})
        site.settle()
        new = get_job(site, answer.json()["id"])
        assert nonzero(new["counts"]) == {"total": 4, "succeeded": 4}
        before, after = get_items(site, old), get_items(site, new["id"])
        assert {n: i["label_id"] for n, i in after.items()} == {
            n: i["label_id"] for n, i in before.items()
        }

    def test_bad_retry(self, tiny_site: Installation) -> None:
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        answer = tiny_site.client.post(f"/v1/jobs/{job_id}:retry", json={"only": "some"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/only")


def test_the_answer_says_how_to_follow_the_job(tiny_site: Installation) -> None:
    image_set = post_set(tiny_site, {"a.png": png_bytes(1, 8, 8)})["id"]
    body = {"type": "generate", "image_set": image_set, "model": "tiny"}
    key = {"Idempotency-Key": "follow"}
    first, again = (tiny_site.client.post("/v1/jobs", json=body, headers=key) for _ in range(2))
    location = f"/v1/jobs/{first.json()['id']}"
    for answer in (first, again):
        assert (answer.status_code, answer.headers["Location"]) == (202, location)
        assert answer.headers["Link"] == f'<{location}/events>; rel="monitor"'
        assert answer.headers["Retry-After"] == "1"
    assert again.headers["Idempotency-Replayed"] == "true"
