"""Streams that break, are refused, or end in the middle of an event."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from selvage_client import AsyncSelvage, JobEvent, RetryPolicy, Selvage, SelvageError
from selvage_client.events import SseParser

from api_schemas.problems import Forbidden, NotFound, TooManyStreams
from tests.client.fake_service import JOB_ID, make_job, problem_response

QUICK = RetryPolicy(3, 3, 0.0, 0.0)
FACTS = {"job": JOB_ID, "status": "running", "step": "label", "fraction": 0.5, "counts": {}}
ITEM = {"job": JOB_ID, "item": f"{JOB_ID}.1", "position": 1, "external_id": "a\u2028b.png"}


def sse(kind: str, data: Any, number: int | None = None) -> bytes:
    text = json.dumps(data, ensure_ascii=False)
    return f"event: {kind}\ndata: {text}\n".encode() + (
        b"\n" if number is None else f"id: {number}\n\n".encode()
    )


RETRY_AT_ONCE = b"retry: 0\n\n"
PROGRESS = sse("job.progress", FACTS, 1)
SUCCEEDED = sse("item.succeeded", ITEM, 2)
DONE = sse("job.done", {**FACTS, "status": "succeeded"}, 3)


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Sends this and loses the connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")


class Service:
    """Answers the stream with one answer after the other, and knows the job."""

    def __init__(self, *answers: bytes | httpx.Response) -> None:
        self.requests: list[httpx.Request] = []
        self.looks = [make_job("running", 1), make_job("running", 1), make_job("partial", 3)]
        self._answers = list(answers)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, text=self.looks.pop(0).model_dump_json())
        answer = self._answers.pop(0)
        if isinstance(answer, httpx.Response):
            return answer
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(200, headers=headers, stream=Broken(RETRY_AT_ONCE + answer))

    def events(self, **options: Any) -> list[JobEvent]:
        with Selvage("http://fake", retries=QUICK, transport=self._transport()) as client:
            return list(client.events(JOB_ID, **options))

    def events_of_coroutines(self, **options: Any) -> list[JobEvent]:
        async def run() -> list[JobEvent]:
            transport = self._transport()
            async with AsyncSelvage("http://fake", retries=QUICK, transport=transport) as client:
                return [event async for event in client.events(JOB_ID, **options)]

        return asyncio.run(run())

    def _transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)


@pytest.mark.parametrize("how", ["events", "events_of_coroutines"])
class TestStreams:
    def test_a_stream_that_breaks_goes_on_behind_the_last_event(self, how: str) -> None:
        service = Service(PROGRESS + SUCCEEDED[:20], b": keep-alive\n\n" + SUCCEEDED, DONE)
        found = getattr(service, how)()
        assert [(event.id, event.type) for event in found] == [
            ("1", "job.progress"),
            ("2", "item.succeeded"),
            ("3", "job.done"),
        ]
        assert found[1].data.external_id == "a\u2028b.png"
        asked = [request.headers.get("last-event-id") for request in service.requests]
        assert asked == [None, "1", "2"]

    def test_the_end_is_asked_for_but_not_told_to_who_does_not_want_it(self, how: str) -> None:
        service = Service(SUCCEEDED + DONE)
        found = getattr(service, how)(types=["item.succeeded"], last_event_id="0")
        assert [event.type for event in found] == ["item.succeeded"]
        assert service.requests[0].url.params["types"] == "item.succeeded,job.done"
        assert service.requests[0].headers["last-event-id"] == "0"

    def test_nothing_is_left_to_tell(self, how: str) -> None:
        assert getattr(Service(httpx.Response(204)), how)() == []

    @pytest.mark.parametrize(
        "refusal",
        [
            lambda: problem_response(TooManyStreams("No room.").problem(), **{"retry-after": "30"}),
            lambda: problem_response(NotFound("There is nothing here.").problem()),
            lambda: httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
        ],
    )
    def test_polling_stands_in_for_a_stream_that_is_refused(
        self, how: str, refusal: Callable[[], httpx.Response]
    ) -> None:
        service = Service(refusal())
        found = getattr(service, how)()
        assert [event.type for event in found] == ["job.snapshot", "job.snapshot", "job.done"]
        assert found[-1].data.status == "partial"
        assert found[-1].data.counts.succeeded == 3
        assert len(service.requests) == 4

    def test_so_it_does_for_streams_that_never_bring_anything(self, how: str) -> None:
        service = Service(*[b""] * 5)
        assert [event.type for event in getattr(service, how)(types=["job.done"])] == ["job.done"]
        assert len(service.requests) == 8

    def test_a_refusal_that_polling_would_meet_as_well_is_raised(self, how: str) -> None:
        service = Service(problem_response(Forbidden("The scope is missing.").problem()))
        with pytest.raises(SelvageError, match="The scope is missing"):
            getattr(service, how)()

    def test_what_this_client_does_not_know_is_passed_over(self, how: str) -> None:
        strange = sse("job.sang", {}, 4) + sse("item.succeeded", {"other": 1}, 5) + b"data: {\n\n"
        assert [event.type for event in getattr(Service(strange + DONE), how)()] == ["job.done"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_may_end_anywhere(size: int) -> None:
    content = (
        b": hello\nretry: 250\n\nid: 7\n\nevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata:3\n\nid\n"
    )
    parser = SseParser()
    found: list[tuple[str, str]] = []
    for start in range(0, len(content), size):
        found += parser.feed(content[start : start + size])
    assert found == [("a", "1\n2"), ("", "3")]
    assert (parser.last_id, parser.retry_seconds) == ("", 0.25)
