"""Events of a job: the stream's bytes → typed events, and when to come again. No I/O."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from api_schemas.events import (
    EventType,
    ItemFailed,
    ItemSucceeded,
    JobEnded,
    JobFacts,
    StepEvent,
)
from api_schemas.jobs import Job
from selvage_client.calls import Call, nothing, segment
from selvage_client.errors import SelvageError

EventData = Job | JobFacts | JobEnded | StepEvent | ItemSucceeded | ItemFailed

MEDIA_TYPE: Final = "text/event-stream"
# The service sends a comment every 15 s: after three of them are missing, the line is dead.
SILENCE_SECONDS: Final = 50.0
LONGEST_PAUSE_SECONDS: Final = 10.0
FRUITLESS_TRIES: Final = 5
FATAL_STATUSES: Final = (401, 403)
DONE: Final = "job.done"
SNAPSHOT: Final = "job.snapshot"

_DATA: Final[dict[str, type[BaseModel]]] = {
    SNAPSHOT: Job,
    "job.status": JobFacts,
    "job.progress": JobFacts,
    "stage.status": StepEvent,
    "item.succeeded": ItemSucceeded,
    "item.failed": ItemFailed,
    DONE: JobEnded,
}


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        type: such as `item.succeeded`; it says which document `data` is.
        id: pass it as `last_event_id` to go on behind this event; None where polling stood in.
    """

    type: EventType
    data: Any
    id: str | None = None


class SseParser:
    """Splits a stream of server-sent events; chunks may end anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._type = ""
        self._data: list[str] = []
        self.last_id: str | None = None
        self.retry_seconds = 1.0

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Yield type and data of each event that this chunk ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text:
                self._take(text)
                continue
            if self._data:
                yield self._type, "\n".join(self._data)
            self._type, self._data = "", []

    def start_over(self) -> None:
        """Forget half an event: the next chunk comes from a new connection."""
        self._rest, self._type, self._data = b"", "", []

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isdecimal():
            self.retry_seconds = int(value[:7]) / 1000


class EventFeed:
    """Follows one job through any number of connections.

    Attributes:
        finished: `job.done` came, or the service has nothing more to tell.
        polling: streams are refused here; ask for the job instead, and hand it to `looked`.
    """

    def __init__(
        self, job_id: str, types: Sequence[EventType] | None, last_event_id: str | None
    ) -> None:
        self._job_id = job_id
        self._types = None if types is None else frozenset(types)
        self._parser = SseParser()
        self._parser.last_id = last_event_id
        self._fruitless = 0
        self._last_look: Job | None = None
        self.finished = False
        self.polling = False

    def call(self) -> Call[None]:
        """Return the call for the stream, from the last event on."""
        self._parser.start_over()
        headers = {"Accept": MEDIA_TYPE}
        if self._parser.last_id:
            headers["Last-Event-ID"] = self._parser.last_id
        # The end is always asked for: it ends the iteration.
        asked = {} if self._types is None else {"types": ",".join(sorted(self._types | {DONE}))}
        path = f"/v1/jobs/{segment(self._job_id)}/events"
        return Call(
            "GET", path, nothing, params=asked, headers=headers, answer_seconds=SILENCE_SECONDS
        )

    def opened(self, status: int, media_type: str) -> bool:
        """Take the head of an answer; return whether its body is to be read."""
        if status == 204:
            self.finished = True
            return False
        if not media_type.startswith(MEDIA_TYPE):  # something in between answers for the service
            self.polling = True
            return False
        self._fruitless += 1
        return True

    def read(self, chunk: bytes) -> Iterator[JobEvent]:
        """Yield the events that a chunk ends; of types that this client does not know: none."""
        for name, data in self._parser.feed(chunk):
            event = self._event(name, data)
            if event is None:
                continue
            self._fruitless = 0
            self.finished = self.finished or event.type == DONE
            if self._types is None or event.type in self._types:
                yield event
            if self.finished:
                return

    def pause_seconds(self) -> float:
        """Return how long to wait before coming again, after a stream broke or ended."""
        if self._fruitless >= FRUITLESS_TRIES:
            self.polling = True
        if self.finished or self.polling:
            return 0.0
        return min(self._parser.retry_seconds, LONGEST_PAUSE_SECONDS)

    def refused(self, error: SelvageError) -> None:
        """Turn to polling, if that can help.

        Raises:
            SelvageError: no key, not allowed, or nobody answers.
        """
        if error.problem.status in FATAL_STATUSES or error.problem.status == 0:
            raise error
        self.polling = True

    def looked(self, job: Job) -> Iterator[JobEvent]:
        """Yield what polling tells: the job where it changed, and its end."""
        if job != self._last_look and self._wants(SNAPSHOT):
            yield JobEvent("job.snapshot", job)
        self._last_look = job
        if not job.done:
            return
        self.finished = True
        if self._wants(DONE):
            facts = job.model_dump(include={"status", "counts", "result", "error"})
            progress = job.progress
            ended = JobEnded(
                job=job.id,
                step=progress.step,
                fraction=progress.fraction,
                training=job.training,
                **facts,
            )
            yield JobEvent("job.done", ended)

    def _wants(self, name: str) -> bool:
        return self._types is None or name in self._types

    def _event(self, name: str, data: str) -> JobEvent | None:
        kind = _DATA.get(name)
        if kind is None:
            return None
        try:
            document = kind.model_validate(json.loads(data))
        except (ValidationError, ValueError):
            return None
        return JobEvent(name, document, self._parser.last_id)  # type: ignore[arg-type]
