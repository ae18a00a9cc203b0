"""What is counted of many streams, and how they are read."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from benchmarks.speed.report import print_result
from benchmarks.speed.sse_clients import StreamFailed, Watched, watch_all
from benchmarks.speed.streams import summary
from tests.support.installation import Installation
from tests.support.live_server import live_server
from tests.support.rows import add_job, claim_items, success

COUNTS = {"total": 3, "queued": 0, "running": 0, "succeeded": 3, "failed": 0}


def block(number: int, name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\nid: {number}".encode()


def watched(first: int = 1, told: int = 2, counts: dict[str, int] = COUNTS) -> Watched:
    found = Watched()
    found.take(b"retry: 3000")
    found.take(block(5, "job.snapshot", {"counts": {"succeeded": first}}))
    found.take(b": keep-alive")
    for n in range(told):
        found.take(block(6 + n, "item.succeeded", {"position": n}))
    found.take(block(9, "job.done", {"counts": counts}))
    return found


class TestSummary:
    def test_all_agree(self) -> None:
        result = summary([watched(), watched(0, 3)], COUNTS, 2.0, 10.0)
        assert result["api_cores"] == 0.2
        assert result["events_sent"] == 9
        assert result["all_clients_agree"] is True
        assert result["reached"] is True

    @pytest.mark.parametrize(
        "odd", [watched(told=1), watched(counts={**COUNTS, "succeeded": 2}), watched(first=0)]
    )
    def test_one_that_saw_something_else(self, odd: Watched) -> None:
        result = summary([watched(), odd], COUNTS, 2.0, 10.0)
        assert (result["all_clients_agree"], result["reached"]) == (False, False)

    def test_too_much_processor_time(self) -> None:
        assert summary([watched()], COUNTS, 6.0, 10.0)["reached"] is False

    def test_the_table(self) -> None:
        out = io.StringIO()
        result = summary([watched()], COUNTS, 2.0, 10.0)
        print_result({"streams": json.loads(json.dumps(result))}, Console(file=out, width=160))
        assert "0.200" in out.getvalue()
        assert "reached" in out.getvalue()


class TestClients:
    def test_order(self) -> None:
        found = watched()
        with pytest.raises(StreamFailed, match="event 9 came after 9"):
            found.take(block(9, "job.done", {}))

    def test_no_end(self) -> None:
        with pytest.raises(StreamFailed, match="before the job was done"):
            Watched().counts  # noqa: B018

    def test_against_a_real_stream(self, sqlite_site: Installation) -> None:
        from domain.leases import Commit, commit

        job_id = add_job(sqlite_site.catalog, 2)
        claimed = claim_items(sqlite_site.catalog, job_id, [0, 1])
        outcomes = [success(sqlite_site.catalog, job_id, p) for p in (0, 1)]
        commit(sqlite_site.catalog, claimed.lease, Commit(outcomes, close=True), 60)
        with live_server(sqlite_site) as live:
            found = watch_all([live.url, live.url], job_id, 5)
            assert len(found) == 5
            assert all(w.adds_up and w.counts["succeeded"] == 2 for w in found)
            with pytest.raises(StreamFailed, match="404"):
                watch_all([live.url], "job_none", 1)
