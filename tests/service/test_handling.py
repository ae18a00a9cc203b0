"""`Prefer: handling=strict | lenient` where files come in; the other form fields of a job."""

import json
from typing import Any

import pytest

from tests.support.api import get_job, multipart
from tests.support.images import png_bytes, zip_bytes
from tests.support.installation import Installation

GOOD = {f"{i}.png": png_bytes(i) for i in range(2)}
BAD = {**GOOD, "empty.png": b"", "note.txt": b"hello"}
PATHS = ("/v1/image-sets", "/v1/pseudo-labels")


def post(site: Installation, path: str, files: dict[str, bytes], prefer: str | None, **more: Any):
    data = {"model": "tiny", "pipeline": '{"select": null}'} if "pseudo" in path else {}
    headers = {"Prefer": prefer} if prefer else {}
    headers |= more.pop("headers", {})
    return site.client.post(path, files=multipart(files), data=data | more, headers=headers)


@pytest.mark.parametrize("path", PATHS)
def test_strict_refuses_all_and_creates_nothing(both_site: Installation, path: str) -> None:
    site = both_site
    answer = post(site, path, BAD, "handling=strict")
    assert (answer.status_code, answer.json()["code"]) == (422, "files-rejected")
    assert answer.headers["Preference-Applied"] == "handling=strict"
    assert [e["pointer"] for e in answer.json()["errors"]] == ["empty.png", "note.txt"]
    assert all(e["detail"] for e in answer.json()["errors"])
    for listing, key in (("/v1/image-sets", "image_sets"), ("/v1/jobs", "jobs")):
        assert site.client.get(listing).json()[key] == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("prefer", [None, "handling=lenient", "handling=harsh"])
def test_lenient_reports(tiny_site: Installation, path: str, prefer: str | None) -> None:
    answer = post(tiny_site, path, BAD, prefer)
    assert answer.status_code in (201, 202)
    applied = answer.headers.get("Preference-Applied")
    assert applied == ("handling=lenient" if prefer == "handling=lenient" else None)
    report = answer.json().get("image_set", answer.json())
    assert report["counts"]["rejected"] == 2


@pytest.mark.parametrize("path", PATHS)
def test_strict_takes_what_is_good_once(tiny_site: Installation, path: str) -> None:
    headers = {"Idempotency-Key": "k"}
    answers = [
        post(tiny_site, path, {"a.zip": zip_bytes(GOOD)}, "wait=0, handling=strict",
             headers=headers)
        for _ in range(2)
    ]  # fmt: skip
    for answer in answers:
        assert answer.status_code in (201, 202)
        assert "handling=strict" in answer.headers["Preference-Applied"]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"


def test_a_refused_request_may_come_again_with_the_same_key(tiny_site: Installation) -> None:
    headers = {"Idempotency-Key": "again"}
    first = post(tiny_site, PATHS[0], BAD, "handling=strict", headers=headers)
    assert first.status_code == 422
    assert post(tiny_site, PATHS[0], BAD, None, headers=headers).status_code == 201


def test_a_bad_file_in_an_archive_counts(tiny_site: Installation) -> None:
    answer = post(tiny_site, PATHS[0], {"a.zip": zip_bytes(BAD)}, "handling=strict")
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 2


class TestForm:
    def test_all_fields_of_a_job(self, both_site: Installation) -> None:
        site = both_site
        stored = {"name": "strict", "config": {"select": {"thresholds": 0.4}}}
        assert site.client.post("/v1/pipelines", json=stored).status_code == 201
        answer = post(
            site, PATHS[1], GOOD, None,
            pipeline="strict", priority="7", metadata='{"ticket": "ML-42"}',
            schedule_at="2027-01-01T02:00:00+01:00", deadline_at="2027-01-02T00:00:00Z",
            failure_policy=json.dumps({"max_failed_fraction": 0.2, "max_attempts": 2}),
        )  # fmt: skip
        assert answer.status_code == 202, answer.text
        job = get_job(site, answer.json()["job"]["id"])
        assert (job["pipeline_name"], job["priority"]) == ("strict@1", 7)
        assert job["pipeline"]["select"]["thresholds"] == 0.4
        assert (job["schedule_at"], job["deadline_at"]) == (
            "2027-01-01T01:00:00Z", "2027-01-02T00:00:00Z",
        )  # fmt: skip
        assert job["failure_policy"]["max_attempts"] == 2

    @pytest.mark.parametrize(
        ("field", "value", "status"),
        [
            ("schedule_at", "tonight", 422),
            ("schedule_at", "2027-01-01T00:00:00", 422),
            ("deadline_at", "2020-01-01T00:00:00Z", 422),
            ("failure_policy", "7", 422),
            ("failure_policy", '{"max_attempts": 0}', 422),
            ("failure_policy", '{"max_attempts": 11}', 422),
            ("pipeline", "nobody@1", 404),
            ("pipeline", "nobody@0", 422),
            ("pipeline", '"strict"', 422),
            ("metadata", '{"a": "\\u0000"}', 422),
        ],
    )
    def test_refused_before_anything_is_stored(
        self, tiny_site: Installation, field: str, value: str, status: int
    ) -> None:
        answer = post(tiny_site, PATHS[1], GOOD, None, **{field: value})
        assert answer.status_code == status, answer.text
        assert tiny_site.client.get("/v1/image-sets").json()["image_sets"] == []


class TestPipelineByName:
    def test_the_version_is_settled_when_the_job_is_made(self, both_site: Installation) -> None:
        site = both_site
        image_set = post(site, PATHS[0], GOOD, None).json()["id"]
        body = {"type": "generate", "image_set": image_set, "model": "tiny", "pipeline": "mine"}
        assert site.client.post("/v1/jobs", json=body).status_code == 404
        for keep in (0.5, 0.25):
            config = {"select": {"keep_fraction": keep}}
            site.client.post("/v1/pipelines", json={"name": "mine", "config": config})
        found = {}
        for reference in ("mine", "mine@1", "mine@2"):
            job = site.client.post("/v1/jobs", json=body | {"pipeline": reference}).json()
            found[reference] = (job["pipeline_name"], job["pipeline"]["select"]["keep_fraction"])
        assert found == {
            "mine": ("mine@2", 0.25), "mine@1": ("mine@1", 0.5), "mine@2": ("mine@2", 0.25),
        }  # fmt: skip
        listed = site.client.get("/v1/jobs", params={"filter": "pipeline=mine@1"}).json()["jobs"]
        assert [job["pipeline_name"] for job in listed] == ["mine@1"]
        retried = site.client.post(f"/v1/jobs/{listed[0]['id']}:cancel").json()
        retried = site.client.post(f"/v1/jobs/{retried['id']}:retry").json()
        assert retried["pipeline_name"] == "mine@1"

    @pytest.mark.parametrize("reference", ["mine@0", "mine@x", "Mine", "", "a" * 64, 7, ["mine"]])
    def test_no_reference(self, tiny_site: Installation, reference: Any) -> None:
        image_set = post(tiny_site, PATHS[0], GOOD, None).json()["id"]
        body = {"type": "generate", "image_set": image_set, "model": "tiny"}
        answer = tiny_site.client.post("/v1/jobs", json=body | {"pipeline": reference})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
