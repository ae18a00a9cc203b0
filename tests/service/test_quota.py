"""Quotas: work is refused before it is accepted, and counted for who asked for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from storage.catalog import usage
from storage.catalog.tables import ImageSetRow, JobRow, UsageRow
from tests.service.test_problems import assert_problem
from tests.support.api import multipart
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.keys import make_key

FILES = multipart({"a.png": png_bytes(1), "b.png": png_bytes(2)})


def start(site: Installation, headers: dict[str, str], image_set: str) -> Any:
    body = {"type": "generate", "image_set": image_set, "model": "tiny"}
    return site.client.post("/v1/jobs", json=body, headers=headers)


def post_set(site: Installation, headers: dict[str, str]) -> Any:
    return site.client.post("/v1/image-sets", files=FILES, headers=headers)


def post_images(site: Installation, headers: dict[str, str]) -> Any:
    return site.client.post(
        "/v1/pseudo-labels", files=FILES, data={"model": "tiny"}, headers=headers
    )


def quota(site: Installation, headers: dict[str, str]) -> Any:
    answer = site.client.get("/v1/quota", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def count(site: Installation, table: Any) -> int:
    with site.catalog.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


class TestJobs:
    def test_unfinished_jobs(self, both_site: Installation) -> None:
        key_id, headers = make_key(both_site.catalog, "write", quota={"jobs": 2})
        other = make_key(both_site.catalog, "write")[1]
        image_set = post_set(both_site, headers).json()["id"]
        for _ in range(2):
            assert start(both_site, headers, image_set).status_code == 202
        refused = start(both_site, headers, image_set)
        document = assert_problem(refused, 429, "quota-exceeded")
        assert "may have 2 unfinished jobs and has 2" in document["detail"]
        assert (document["retryable"], refused.headers["Retry-After"]) == (True, "60")
        assert_problem(post_images(both_site, headers), 429, "quota-exceeded")
        assert count(both_site, JobRow) == 2
        assert start(both_site, other, image_set).status_code == 202
        found = quota(both_site, headers)
        assert (found["principal"], found["scopes"]) == (key_id, ["read", "write"])
        assert found["limits"]["jobs"] == found["used"]["jobs"] == 2
        assert found["used"]["queued_images"] == 4
        both_site.settle()
        used = quota(both_site, headers)["used"]
        assert used["jobs"] == used["queued_images"] == 0
        assert used["device_seconds_per_day"] > 0
        assert start(both_site, headers, image_set).status_code == 202

    def test_what_was_refused_frees_its_idempotency_key(self, tiny_site: Installation) -> None:
        headers = make_key(tiny_site.catalog, "write", quota={"jobs": 1})[1]
        image_set = post_set(tiny_site, headers).json()["id"]
        start(tiny_site, headers, image_set)
        once = {**headers, "Idempotency-Key": "k"}
        assert start(tiny_site, once, image_set).status_code == 429
        tiny_site.settle()
        assert start(tiny_site, once, image_set).status_code == 202

    def test_queued_images(self, both_site: Installation) -> None:
        headers = make_key(both_site.catalog, "write", quota={"queued_images": 3})[1]
        image_set = post_set(both_site, headers).json()["id"]
        assert start(both_site, headers, image_set).status_code == 202
        document = assert_problem(start(both_site, headers, image_set), 429, "quota-exceeded")
        assert "2 images of this key are waiting already and 2 more" in document["detail"]
        assert count(both_site, JobRow) == 1

    def test_many_at_once_do_not_share_the_last_place(self, both_site: Installation) -> None:
        headers = make_key(both_site.catalog, "write", quota={"jobs": 3})[1]
        image_set = post_set(both_site, headers).json()["id"]
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: start(both_site, headers, image_set), range(12)))
        assert sorted(a.status_code for a in answers) == [202] * 3 + [429] * 9
        assert count(both_site, JobRow) == 3

    def test_device_seconds(self, both_site: Installation) -> None:
        key_id, headers = make_key(
            both_site.catalog, "write", quota={"device_seconds_per_day": 100}
        )
        image_set = post_set(both_site, headers).json()["id"]
        with both_site.catalog.write() as session:
            usage.add(session, key_id, device_seconds=99.5)
        assert start(both_site, headers, image_set).status_code == 202
        with both_site.catalog.write() as session:
            usage.add(session, key_id, device_seconds=1)
        answer = start(both_site, headers, image_set)
        document = assert_problem(answer, 429, "quota-exceeded")
        assert "took 100 s today" in document["detail"]
        assert 1 <= int(answer.headers["Retry-After"]) <= 86_400
        with both_site.catalog.write() as session:  # another day
            session.execute(update(UsageRow).values(day="2001-01-01"))
        assert start(both_site, headers, image_set).status_code == 202

    def test_adapting_needs_train(self, tiny_site: Installation) -> None:
        headers = make_key(tiny_site.catalog, "write")[1]
        trainer = make_key(tiny_site.catalog, "write", "train")[1]
        image_set = post_set(tiny_site, headers).json()["id"]
        body = {"type": "adapt", "image_set": image_set, "model": "tiny", "promote": True}
        refused = tiny_site.client.post("/v1/jobs", json=body, headers=headers)
        assert_problem(refused, 403, "forbidden")
        assert count(tiny_site, JobRow) == 0
        allowed = tiny_site.client.post("/v1/jobs", json=body, headers=trainer)
        assert allowed.status_code == 202


class TestStoredBytes:
    def test_uploads_of_a_day(self, both_site: Installation) -> None:
        size_bytes = len(png_bytes(1)) + len(png_bytes(2))
        headers = make_key(
            both_site.catalog, "write", quota={"stored_bytes_per_day": 2 * size_bytes}
        )[1]
        for _ in range(2):
            assert post_set(both_site, headers).status_code == 201
        answer = post_set(both_site, headers)
        document = assert_problem(answer, 429, "quota-exceeded")
        assert f"stored {2 * size_bytes} bytes today" in document["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert_problem(post_images(both_site, headers), 429, "quota-exceeded")
        assert count(both_site, ImageSetRow) == 2
        used = quota(both_site, headers)["used"]
        assert used["stored_bytes_per_day"] == 2 * size_bytes

    def test_what_came_to_nothing_is_given_back(self, tiny_site: Installation) -> None:
        headers = make_key(tiny_site.catalog, "write")[1]
        broken = [("files", ("a.zip", b"PK\x03\x04 and then nothing of a zip"))]
        answer = tiny_site.client.post("/v1/image-sets", files=broken, headers=headers)
        assert answer.status_code == 422
        assert quota(tiny_site, headers)["used"]["stored_bytes_per_day"] == 0


class TestSettings:
    def test_limits_of_all_who_have_none(self, tmp_path: Path) -> None:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with installation(url, tmp_path / "data", quota_jobs=1, quota_queued_images=9) as site:
            site.add_tiny_model(tmp_path / "tiny")
            image_set = post_set(site, {}).json()["id"]
            assert start(site, {}, image_set).status_code == 202
            assert start(site, {}, image_set).status_code == 429
            assert quota(site, {})["principal"] == "local"
            headers = make_key(site.catalog, "write", quota={"jobs": 7})[1]
            site.client.app.state.selvage.keys.forget()  # type: ignore[attr-defined]
            limits = quota(site, headers)["limits"]
            assert (limits["jobs"], limits["queued_images"]) == (7, 9)
            assert limits["device_seconds_per_day"] is None
            assert start(site, headers, image_set).status_code == 202

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_only_to_be_read(self, tiny_site: Installation, method: str) -> None:
        answer = tiny_site.client.request(method, "/v1/quota")
        assert_problem(answer, 405, "method-not-allowed")
