from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from storage.catalog.tables import IdempotencyRow
from tests.support.api import post_set
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.keys import make_key


def post(site: Installation, key: str, data: bytes = png_bytes(1), model: str = "tiny") -> Any:
    return site.client.post(
        "/v1/pseudo-labels",
        files=[("files", ("a.png", data))],
        data={"model": model},
        headers={"Idempotency-Key": key},
    )


def count_jobs(site: Installation) -> int:
    return len(site.client.get("/v1/jobs").json()["jobs"])


class TestIdempotencyKey:
    def test_the_same_request_twice_is_one_job(self, both_site: Installation) -> None:
        first, second = post(both_site, "k"), post(both_site, "k")
        assert first.status_code == second.status_code == 202
        assert first.json() == second.json()
        assert first.headers["Location"] == second.headers["Location"]
        assert "Idempotency-Replayed" not in first.headers
        assert second.headers["Idempotency-Replayed"] == "true"
        assert count_jobs(both_site) == 1

    def test_quoted_and_bare_are_the_same_key(self, tiny_site: Installation) -> None:
        post(tiny_site, "k")
        assert post(tiny_site, '"k"').headers["Idempotency-Replayed"] == "true"
        assert count_jobs(tiny_site) == 1

    def test_another_body_is_refused(self, tiny_site: Installation) -> None:
        post(tiny_site, "k")
        answer = post(tiny_site, "k", png_bytes(2))
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
        assert count_jobs(tiny_site) == 1

    def test_a_failed_request_frees_its_key(self, both_site: Installation) -> None:
        assert post(both_site, "k", model="unknown").status_code == 404
        assert post(both_site, "k", b"not an image at all").status_code == 422
        assert post(both_site, "k").status_code == 202
        assert count_jobs(both_site) == 1

    def test_fifty_at_once_make_one_job(self, both_site: Installation) -> None:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: post(both_site, "k"), range(50)))
        assert {a.status_code for a in answers} <= {202, 409}
        done = [a for a in answers if a.status_code == 202]
        assert len({a.json()["job"]["id"] for a in done}) == 1
        for refused in (a for a in answers if a.status_code == 409):
            assert refused.json()["code"] == "idempotency-in-progress"
            assert refused.json()["retryable"] is True
            assert refused.headers["Retry-After"] == "2"
        assert count_jobs(both_site) == 1

    def test_fifty_at_once_with_two_bodies(self, both_site: Installation) -> None:
        bodies = [png_bytes(1), png_bytes(2)]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda n: post(both_site, "k", bodies[n % 2]), range(50)))
        by_body = [{a.status_code for a in answers[n::2]} for n in (0, 1)]
        assert sorted(202 in statuses for statuses in by_body) == [False, True]
        for answer in answers:
            if answer.status_code == 422:
                assert answer.json()["code"] == "idempotency-key-reused"
        assert {a.status_code for a in answers} <= {202, 409, 422}
        assert count_jobs(both_site) == 1

    def test_a_key_belongs_to_its_principal(self, both_site: Installation) -> None:
        clients = [make_key(both_site.catalog, "write")[1] for _ in range(2)]
        ids = []
        for headers in clients:
            for data in (png_bytes(1), png_bytes(1), png_bytes(2)):
                answer = both_site.client.post(
                    "/v1/image-sets",
                    files=[("files", ("a.png", data))],
                    headers={**headers, "Idempotency-Key": "k"},
                )
                ids.append(answer.json().get("id", answer.json().get("code")))
        reused = "idempotency-key-reused"
        assert ids == [ids[0], ids[0], reused, ids[3], ids[3], reused]
        assert ids[0] != ids[3]

    def test_a_request_that_died_is_taken_over(self, both_site: Installation) -> None:
        post(both_site, "k")
        with both_site.catalog.write() as session:
            row = update(IdempotencyRow).values(status_code=None, body=None, locked_until=0.0)
            session.execute(row)
        assert post(both_site, "k").status_code == 202
        assert count_jobs(both_site) == 2  # here both came through; a dead one leaves no job

    @pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there"])
    def test_unusable_keys(self, tiny_site: Installation, key: str) -> None:
        answer = post(tiny_site, key)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")

    def test_every_kind_of_creation(self, tiny_site: Installation) -> None:
        headers = {"Idempotency-Key": "k"}
        image_set = post_set(tiny_site, {"a.png": png_bytes(1)})["id"]
        body = {"type": "generate", "image_set": image_set, "model": "tiny"}
        jobs = [tiny_site.client.post("/v1/jobs", json=body, headers=headers) for _ in range(2)]
        assert jobs[0].json()["id"] == jobs[1].json()["id"]
        tiny_site.settle()
        retry = f"/v1/jobs/{jobs[0].json()['id']}:retry"
        other = tiny_site.client.post(retry, json={}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
        retries = [
            tiny_site.client.post(retry, json={}, headers={"Idempotency-Key": "r"})
            for _ in range(2)
        ]
        assert retries[0].json()["id"] == retries[1].json()["id"]
        files = [("files", ("b.png", png_bytes(2)))]
        sets = [
            tiny_site.client.post("/v1/image-sets", files=files, headers={"Idempotency-Key": "s"})
            for _ in range(2)
        ]
        assert sets[0].json() == sets[1].json()
