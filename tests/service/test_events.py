"""Streams of events over HTTP: what a client gets first, live, and when it comes again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from domain import jobs
from domain.leases import Commit, commit
from storage.catalog.tables import JobRow
from tests.support.api import get_job
from tests.support.installation import Installation
from tests.support.live_server import LiveServer, live_server
from tests.support.rows import LEASE_SECONDS, add_job, claim_items, failure, success
from tests.support.sse import (
    Reader,
    Received,
    progress_of,
    read_all,
    read_until_done,
    types_of,
)


def finish(
    site: Installation, job_id: str, positions: list[int], bad: tuple[int, ...] = ()
) -> None:
    catalog = site.catalog
    claimed = claim_items(catalog, job_id, positions)
    outcomes = [failure(p) if p in bad else success(catalog, job_id, p) for p in positions]
    commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)


def stream(site: Installation, job_id: str, **options: Any) -> Any:
    """The whole stream of a job that is done."""
    return site.client.get(f"/v1/jobs/{job_id}/events", **options)


@contextmanager
def watching(live: LiveServer, job_id: str, **options: Any) -> Iterator[tuple[Any, list[Received]]]:
    """A client that reads in a thread; its list grows while the test goes on."""
    found: list[Received] = []
    with live.client().stream("GET", f"/v1/jobs/{job_id}/events", **options) as response:
        assert response.status_code == 200, response.read()

        def read() -> None:
            try:
                for event in Reader().read(response.iter_lines()):
                    found.append(event)
            except httpx.HTTPError:
                return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield thread, found


def wait_for(condition: Any, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


class TestDone:
    def test_snapshot_and_end(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 3)
        finish(site, job_id, [0, 1, 2], bad=(1,))
        answer = stream(site, job_id)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "retry: 3000\n" in answer.text
        snapshot, done = read_all(answer.text)
        assert types_of([snapshot, done]) == ["job.snapshot", "job.done"]
        assert snapshot.data == get_job(site, job_id)
        assert done.data["counts"] == snapshot.data["counts"]
        assert done.data["status"] == "partial"
        assert int(snapshot.id) < int(done.id)

    @pytest.mark.parametrize("how", ["header", "query"])
    def test_what_was_missed(self, site: Installation, how: str) -> None:
        job_id = add_job(site.catalog, 3)
        finish(site, job_id, [0])
        finish(site, job_id, [1, 2], bad=(2,))

        def since(last_id: str) -> httpx.Response:
            if how == "header":
                return stream(site, job_id, headers={"Last-Event-ID": last_id})
            return stream(site, job_id, params={"last_event_id": last_id})

        whole = read_all(since("0").text)
        assert types_of(whole)[-3:] == ["stage.status", "job.status", "job.done"]
        numbers = [int(e.id) for e in whole]
        assert numbers == sorted(set(numbers))
        positions = {e.data["position"]: e.type for e in whole if e.type.startswith("item.")}
        assert positions == {0: "item.succeeded", 1: "item.succeeded", 2: "item.failed"}
        for i, event in enumerate(whole[:-1]):
            assert read_all(since(event.id).text) == whole[i + 1 :]
        last = since(whole[-1].id)
        assert (last.status_code, last.text) == (204, "")

    @pytest.mark.parametrize("last_id", ["99999", "-1", "x", "1e3", "9" * 40, "²", "1 2", ""])
    def test_a_number_that_is_none_of_ours(self, sqlite_site: Installation, last_id: str) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        finish(sqlite_site, job_id, [0])
        found = read_all(stream(sqlite_site, job_id, params={"last_event_id": last_id}).text)
        assert types_of(found) == ["job.snapshot", "job.done"]

    def test_only_some_types(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 2)
        finish(sqlite_site, job_id, [0, 1], bad=(1,))
        start = {"last_event_id": "0"}
        both = {**start, "types": "item.failed, item.succeeded"}
        assert types_of(read_all(stream(sqlite_site, job_id, params=both).text)) == [
            "item.succeeded", "item.failed",
        ]  # fmt: skip
        twice = {**start, "types": ["item.failed", "job.done"]}
        assert types_of(read_all(stream(sqlite_site, job_id, params=twice).text)) == [
            "item.failed", "job.done",
        ]  # fmt: skip
        empty = {**start, "types": ""}
        assert len(read_all(stream(sqlite_site, job_id, params=empty).text)) > 5
        none = stream(sqlite_site, job_id, params={"types": "item.failed"})
        reader = Reader()
        assert list(reader.read(none.text.split("\n"))) == []
        # who has nothing to see is not asked to come again and again
        params = {"types": "item.failed", "last_event_id": reader.last_id}
        assert stream(sqlite_site, job_id, params=params).status_code == 204

    def test_a_job_from_before_there_were_events(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 1)
        finish(site, job_id, [0])
        with site.catalog.write() as session:
            session.connection().exec_driver_sql("DELETE FROM event")
        found = read_all(stream(site, job_id, params={"last_event_id": "1"}).text)
        assert types_of(found) == ["job.snapshot", "job.done"]
        assert found[1].data["counts"] == found[0].data["counts"]


class TestRefused:
    def test_unknown_job(self, sqlite_site: Installation) -> None:
        answer = stream(sqlite_site, "job_00000000000000000000000000")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert sqlite_site.client.app.state.event_hub.topics == 0  # type: ignore[attr-defined]

    @pytest.mark.parametrize("types", ["job.all", "job.done,x", "\u202e", "x" * 5000])
    def test_unknown_type(self, sqlite_site: Installation, types: str) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        answer = stream(sqlite_site, job_id, params={"types": types})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/types")
        assert len(answer.content) < 2000

    def test_too_many(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site, max_streams=1, stream_keep_alive_seconds=0.3) as live:
            with watching(live, job_id):
                answer = live.client().get(f"/v1/jobs/{job_id}/events")
                assert (answer.status_code, answer.json()["code"]) == (429, "too-many-streams")
                assert answer.headers["retry-after"] == "5"
            wait_for(lambda: live.hub.watching == 0)
            with watching(live, job_id):
                pass

    def test_the_catalog_is_away(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from sqlalchemy.exc import OperationalError

        def fail(*_: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("gone"))

        job_id = add_job(sqlite_site.catalog, 1)
        with monkeypatch.context() as patch:
            patch.setattr("service.event_hub.look_at", fail)
            answer = stream(sqlite_site, job_id)
            assert (answer.status_code, answer.json()["code"]) == (503, "catalog-unavailable")
        finish(sqlite_site, job_id, [0])
        assert types_of(read_all(stream(sqlite_site, job_id).text))[-1] == "job.done"


class TestLive:
    def test_from_snapshot_to_end(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 4)
        with live_server(site) as live, watching(live, job_id) as (thread, found):
            wait_for(lambda: found)
            assert found[0].type == "job.snapshot"
            assert found[0].data["counts"]["queued"] == 4
            finish(site, job_id, [0, 1])
            # an earlier one may tell that the two have been begun
            wait_for(lambda: 2 in [e.data["counts"]["succeeded"] for e in progress_of(found)])
            progress = progress_of(found)[-1]
            assert progress.data["fraction"] == 0.5
            finish(site, job_id, [2, 3], bad=(3,))
            thread.join(timeout=15)
            assert not thread.is_alive()  # the stream ends by itself
            numbers = [int(e.id) for e in found]
            assert numbers == sorted(set(numbers))
            assert types_of(found)[-1] == "job.done"
            told = [e.data["position"] for e in found if e.type.startswith("item.")]
            assert sorted(told) == [0, 1, 2, 3]
            assert found[-1].data["counts"] == get_job(site, job_id)["counts"]

    def test_everybody_sees_the_same_whenever_they_come(self, sqlite_site: Installation) -> None:
        """Clients come one by one while the job goes on; nobody misses or doubles anything."""
        job_id = add_job(sqlite_site.catalog, 30)
        results: list[list[Received]] = []

        def client(live: LiveServer) -> None:
            with live.client().stream("GET", f"/v1/jobs/{job_id}/events") as response:
                results.append(read_until_done(response))

        threads = []
        with live_server(sqlite_site) as live:
            for position in range(30):
                threads.append(threading.Thread(target=client, args=(live,)))
                threads[-1].start()
                finish(sqlite_site, job_id, [position])
            for thread in threads:
                thread.join(timeout=30)
        assert len(results) == 30
        for found in results:
            assert types_of(found)[0] == "job.snapshot"
            known = found[0].data["counts"]["succeeded"]
            told = [e.data["position"] for e in found if e.type == "item.succeeded"]
            assert told == list(range(known, 30))
            assert found[-1] == results[0][-1]

    def test_a_reconnecting_client_misses_nothing(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 12)
        found: list[Received] = []
        with live_server(sqlite_site) as live:
            for part in range(4):
                last = {"Last-Event-ID": found[-1].id} if found else {"Last-Event-ID": "0"}
                seen = len(found)
                with watching(live, job_id, headers=last) as (_, part_found):
                    finish(sqlite_site, job_id, list(range(3 * part, 3 * part + 3)))
                    wait_for(lambda got=part_found: _successes(got) == 3)
                found += part_found
                assert len(found) > seen
            last_answer = live.client().get(
                f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": found[-1].id}
            )
            found += read_all(last_answer.text)
        told = [e.data["position"] for e in found if e.type == "item.succeeded"]
        assert told == list(range(12))
        assert types_of(found)[-1] == "job.done"

    def test_progress_at_most_twice_a_second(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 40)
        with (
            live_server(sqlite_site, stream_poll_seconds=0.01) as live,
            watching(live, job_id, params={"types": "job.progress"}) as (thread, found),
        ):
            started = time.monotonic()
            for position in range(40):
                finish(sqlite_site, job_id, [position])
            thread.join(timeout=15)
            seconds = time.monotonic() - started
        assert 1 <= len(found) <= 2 * seconds + 1

    def test_counts_do_not_stay_behind(self, sqlite_site: Installation) -> None:
        """The last of many changes in a short time is told as well, when its turn has come."""
        job_id = add_job(sqlite_site.catalog, 9)
        with live_server(sqlite_site) as live, watching(live, job_id) as (_, found):
            wait_for(lambda: found)
            for position in range(8):
                finish(sqlite_site, job_id, [position])
            wait_for(
                lambda: (
                    [e.data["counts"]["succeeded"] for e in found if e.type == "job.progress"][-1:]
                    == [8]
                )
            )

    def test_keep_alive(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with (
            live_server(sqlite_site, stream_keep_alive_seconds=0.05) as live,
            live.client().stream("GET", f"/v1/jobs/{job_id}/events") as response,
        ):
            lines = response.iter_lines()
            until = (line for line in lines if line == ": keep-alive")
            assert [next(until), next(until)] == [": keep-alive"] * 2

    def test_a_stream_has_an_end(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(
            sqlite_site, stream_keep_alive_seconds=0.05, stream_max_seconds=0.3
        ) as live:
            found = read_all(live.client().get(f"/v1/jobs/{job_id}/events").text)
        assert types_of(found) == ["job.snapshot"]

    def test_the_job_is_deleted(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site) as live, watching(live, job_id) as (thread, found):
            wait_for(lambda: found)
            with sqlite_site.catalog.write() as session:
                session.delete(session.get(JobRow, job_id))
            thread.join(timeout=15)
            assert not thread.is_alive()
            assert types_of(found) == ["job.snapshot"]


def _successes(found: list[Received]) -> int:
    return sum(e.type == "item.succeeded" for e in found)


class TestBounds:
    def test_a_client_that_goes_leaves_nothing(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        # a client that has gone is noticed when something is sent to it
        with live_server(sqlite_site, stream_keep_alive_seconds=0.3) as live:
            for _ in range(3):
                with watching(live, job_id) as (_, found):
                    wait_for(lambda got=found: got)
                    assert (live.hub.watching, live.hub.topics) == (1, 1)
                wait_for(lambda: (live.hub.watching, live.hub.topics) == (0, 0))

    def test_who_does_not_keep_up_gets_a_snapshot(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waits for a client is bounded, and it still learns how the job stands."""
        monkeypatch.setattr("service.event_hub.MAX_PENDING_EVENTS", 5)
        job_id = add_job(sqlite_site.catalog, 21)
        with live_server(sqlite_site) as live, watching(live, job_id) as (thread, found):
            wait_for(lambda: found)
            finish(sqlite_site, job_id, list(range(20)))
            wait_for(lambda: types_of(found).count("job.snapshot") == 2)
            assert found[-1].data["counts"]["succeeded"] == 20
            finish(sqlite_site, job_id, [20])
            thread.join(timeout=15)
            assert types_of(found)[-1] == "job.done"
            numbers = [int(e.id) for e in found]
            assert numbers == sorted(set(numbers))

    def test_who_reads_nothing_is_dropped(self, sqlite_site: Installation) -> None:
        import socket

        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(
            sqlite_site, stream_keep_alive_seconds=0.0001, stream_send_seconds=0.5
        ) as live:
            host, port = live.url.removeprefix("http://").split(":")
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect((host, int(port)))
                deaf.sendall(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                wait_for(lambda: live.hub.watching == 1)
                wait_for(lambda: live.hub.watching == 0, seconds=60)

    def test_stopping_ends_the_streams_at_once(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site) as live, watching(live, job_id) as (thread, found):
            wait_for(lambda: found)
            started = time.monotonic()
            live.stop()
            thread.join(timeout=10)
            assert not thread.is_alive()
            assert time.monotonic() - started < 3

    def test_head_does_not_wait_for_the_end(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        with live_server(sqlite_site) as live:
            answer = live.client().head(f"/v1/jobs/{job_id}/events")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            wait_for(lambda: live.hub.watching == 0)


class TestWait:
    def test_until_done(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 2)
        with live_server(site) as live:
            timer = threading.Timer(0.6, finish, args=(site, job_id, [0, 1]))
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
