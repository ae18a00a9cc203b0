"""Streams of events over HTTP: what a client gets first, live, and when it comes again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from storage.catalog.tables import JobRow
from tests.ops.processes import wait_for
from tests.support.api import get_job
from tests.support.installation import Installation
from tests.support.live_server import LiveServer, live_server
from tests.support.rows import add_job, finish_items
from tests.support.sse import (
    Reader,
    Received,
    progress_of,
    read_all,
    read_until_done,
    types_of,
)


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


class TestDone:
    def test_snapshot_and_end(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 3)
        finish_items(site.catalog, job_id, [0, 1, 2], bad=(1,))
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
        finish_items(site.catalog, job_id, [0])
        finish_items(site.catalog, job_id, [1, 2], bad=(2,))

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
        finish_items(sqlite_site.catalog, job_id, [0])
        found = read_all(stream(sqlite_site, job_id, params={"last_event_id": last_id}).text)
        assert types_of(found) == ["job.snapshot", "job.done"]

    def test_only_some_types(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 2)
        finish_items(sqlite_site.catalog, job_id, [0, 1], bad=(1,))
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
        finish_items(site.catalog, job_id, [0])
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
        finish_items(sqlite_site.catalog, job_id, [0])
        assert types_of(read_all(stream(sqlite_site, job_id).text))[-1] == "job.done"


class TestLive:
    def test_from_snapshot_to_end(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 4)
        with live_server(site) as live, watching(live, job_id) as (thread, found):
            wait_for(lambda: found)
            assert found[0].type == "job.snapshot"
            assert found[0].data["counts"]["queued"] == 4
            finish_items(site.catalog, job_id, [0, 1])
            # an earlier one may tell that the two have been begun
            wait_for(lambda: 2 in [e.data["counts"]["succeeded"] for e in progress_of(found)])
            progress = progress_of(found)[-1]
            assert progress.data["fraction"] == 0.5
            finish_items(site.catalog, job_id, [2, 3], bad=(3,))
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
                finish_items(sqlite_site.catalog, job_id, [position])
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
                    finish_items(sqlite_site.catalog, job_id, list(range(3 * part, 3 * part + 3)))
                    wait_for(partial(_has_successes, part_found, 3))
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
                finish_items(sqlite_site.catalog, job_id, [position])
            thread.join(timeout=15)
            seconds = time.monotonic() - started
        assert 1 <= len(found) <= 2 * seconds + 1

    def test_counts_do_not_stay_behind(self, sqlite_site: Installation) -> None:
        """The last of many changes in a short time is told as well, when its turn has come."""
        job_id = add_job(sqlite_site.catalog, 9)
        with live_server(sqlite_site) as live, watching(live, job_id) as (_, found):
            wait_for(lambda: found)
            for position in range(8):
                finish_items(sqlite_site.catalog, job_id, [position])
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


def _has_successes(found: list[Received], count: int) -> bool:
    return types_of(found).count("item.succeeded") == count


class TestBounds:
    def test_a_client_that_goes_leaves_nothing(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        # a client that has gone is noticed when something is sent to it
        with live_server(sqlite_site, stream_keep_alive_seconds=0.3) as live:
            for _ in range(3):
                with watching(live, job_id) as (_, found):
                    wait_for(partial(bool, found))
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
            finish_items(sqlite_site.catalog, job_id, list(range(20)))
            wait_for(lambda: types_of(found).count("job.snapshot") == 2)
            assert found[-1].data["counts"]["succeeded"] == 20
            finish_items(sqlite_site.catalog, job_id, [20])
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
