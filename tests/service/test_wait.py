"""Prefer: wait — an answer that waits for the end of a job, and for how long."""

import threading
import time
from typing import Any

import httpx
import pytest

from domain import jobs
from tests.ops.processes import wait_for
from tests.support.installation import Installation
from tests.support.live_server import LiveServer, live_server
from tests.support.rows import add_job, finish_items


class TestWait:
    def test_until_done(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 2)
        with live_server(site) as live:
            timer = threading.Timer(0.6, finish_items, args=(site.catalog, job_id, [0, 1]))
            timer.start()
            started = time.monotonic()
            answer = live.client().get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
            assert 0.5 < time.monotonic() - started < 10
            timer.join()
        assert answer.status_code == 200
        assert answer.json()["status"] == "succeeded"
        assert answer.headers["preference-applied"] == "wait=20"
        assert "retry-after" not in answer.headers

    def test_not_longer_than_asked(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        started = time.monotonic()
        answer = sqlite_site.client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1"})
        assert 1 <= time.monotonic() - started < 5
        assert (answer.status_code, answer.json()["done"]) == (200, False)
        assert answer.headers["preference-applied"] == "wait=1"
        assert answer.headers["retry-after"] == "1"

    @pytest.mark.parametrize("prefer", ["wait=0", "wait=-5", "wait=x", "respond-async", "wait"])
    def test_no_wait(self, sqlite_site: Installation, prefer: str) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        started = time.monotonic()
        answer = sqlite_site.client.get(f"/v1/jobs/{job_id}", headers={"Prefer": prefer})
        assert time.monotonic() - started < 1
        assert answer.status_code == 200
        expected = "wait=0" if prefer == "wait=0" else None
        assert answer.headers.get("preference-applied") == expected

    def test_unknown_job(self, sqlite_site: Installation) -> None:
        answer = sqlite_site.client.get("/v1/jobs/job_none", headers={"Prefer": "wait=5"})
        assert answer.status_code == 404

    def test_creation_is_still_202_but_tells_the_end(self, tiny_site: Installation) -> None:
        from tests.support.api import multipart, post_set
        from tests.support.images import png_bytes

        made = post_set(tiny_site, {"a.png": png_bytes(24, 32)})
        body = {
            "type": "generate", "image_set": made["id"], "model": "tiny",
            "pipeline": {"select": None},
        }  # fmt: skip
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.1):
                tiny_site.settle()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            with live_server(tiny_site) as live:
                prefer = {"Prefer": "wait=30, handling=lenient"}
                answer = live.client().post("/v1/jobs", json=body, headers=prefer)
                assert answer.status_code == 202
                job = answer.json()
                assert job["status"] == "succeeded"
                assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
                assert "wait=30" in answer.headers["preference-applied"]
                assert "retry-after" not in answer.headers
                both = live.client().post(
                    "/v1/pseudo-labels",
                    files=multipart({"b.png": png_bytes(24, 32)}),
                    data={"model": "tiny", "pipeline": '{"select": null}'},
                    headers=prefer,
                )
                assert both.status_code == 202
                assert both.json()["job"]["status"] == "succeeded"
                assert both.json()["image_set"]["counts"]["accepted"] == 1
        finally:
            stop.set()
            worker.join()

    def test_many_who_wait_block_nobody(self, sqlite_site: Installation) -> None:
        """More waits than the pool has threads; another request is answered at once."""
        job_id = add_job(sqlite_site.catalog, 1)
        answers: list[Any] = []

        def wait(live: LiveServer) -> None:
            answer = live.client().get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"})
            answers.append(answer.json()["status"])

        with live_server(sqlite_site) as live:
            threads = [threading.Thread(target=wait, args=(live,)) for _ in range(60)]
            for thread in threads:
                thread.start()
            wait_for(lambda: live.hub.watching == 60, seconds=30)
            started = time.monotonic()
            assert live.client().get(f"/v1/jobs/{job_id}").status_code == 200
            assert time.monotonic() - started < 3
            jobs.cancel(sqlite_site.catalog, job_id)
            for thread in threads:
                thread.join(timeout=20)
        assert answers == ["cancelled"] * 60

    def test_a_client_that_does_not_wait_any_more(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site) as live:
            with pytest.raises(httpx.ReadTimeout):
                live.client().get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=60"}, timeout=0.5)
            wait_for(lambda: live.hub.watching == 0)

    def test_no_room_to_wait_is_no_error(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site, max_streams=0) as live:
            answer = live.client().get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers

    def test_the_document_tells_of_it(self, sqlite_site: Installation) -> None:
        paths = sqlite_site.client.get("/openapi.json").json()["paths"]

        def headers(path: str, method: str) -> list[str]:
            found = paths[path][method].get("parameters", [])
            return [p["name"].lower() for p in found if p["in"] == "header"]

        for path, method in (
            ("/v1/jobs", "post"), ("/v1/pseudo-labels", "post"), ("/v1/jobs/{job_id}", "get"),
        ):  # fmt: skip
            assert headers(path, method).count("prefer") == 1
        assert "prefer" not in headers("/v1/jobs", "get")
