"""GET /v1/jobs/{id}/events: what happens to a job, as it happens.

A stream begins with what the client has missed since `Last-Event-ID`, or with a snapshot where
that is not known; then it goes on live until the job is done. It only brings sooner what polling
brings as well.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.events import EVENT_TYPES
from api_schemas.problems import FieldProblem, ValidationProblem
from domain import event_reading
from domain import jobs as use_cases
from domain.job_states import is_done
from service import rendering
from service.event_encoding import KEEP_ALIVE, Line, encode, opening_line
from service.event_hub import EventHub, Subscription
from service.event_stream import EventStream
from service.state import State
from storage.catalog.engine import Catalog
from storage.catalog.events import Event
from storage.catalog.tables import JobRow

router = APIRouter(prefix="/v1", tags=["jobs"])
ALL_TYPES: Final = frozenset[str](EVENT_TYPES)
MAX_NUMBER_LENGTH: Final = 15


@dataclass(frozen=True)
class Opening:
    """How a stream begins: everything up to `seq`, as of one look at the catalog."""

    lines: list[Line]
    seq: int
    is_done: bool


def _hub(request: Request) -> EventHub:
    hub: EventHub = request.app.state.event_hub
    return hub


Hub = Annotated[EventHub, Depends(_hub)]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The last event that you have; sent by browsers"),
]


@router.get(
    "/exports/{job_id}/events",
    response_class=Response,
    include_in_schema=False,  # an export is a job: this is the address that `Link` names
)
@router.get(
    "/jobs/{job_id}/events",
    summary="What happens to a job, as it happens",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, until `job.done`",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: job.progress\ndata: {"job":"job_…","fraction":0.41}\n'
                    "id: 1842\n\n",
                }
            },
        },
        204: {"description": "The job is done and you have its last event: do not come back"},
    },
)
async def stream_events(
    job_id: str,
    state: State,
    hub: Hub,
    last_event_id: LastEventId = None,
    last_event_id_query: Annotated[
        str | None, Query(alias="last_event_id", description="The same, for who sets no headers")
    ] = None,
    types: Annotated[
        list[str] | None,
        Query(description="Only these, with commas: " + ", ".join(EVENT_TYPES)),
    ] = None,
) -> Response:
    """Stream what happens to a job. Polling tells the same facts, only later.

    The events are `job.status`, `job.progress` (at most twice a second), `stage.status`,
    `item.succeeded`, `item.failed` and at last `job.done`. A client that comes for the first time,
    or after too long, gets a `job.snapshot` first, which is the job as GET shows it.
    """
    wanted = parse_types(types)
    last_seq = parse_number(last_event_id or last_event_id_query)
    async with AsyncExitStack() as stack:
        subscription = await stack.enter_async_context(hub.subscribe(job_id, wanted))
        opening = await hub.read(partial(open_stream, state.catalog, job_id, last_seq))
        lines = [line for line in opening.lines if line.type in wanted]
        if opening.is_done and last_seq is not None and not lines:
            return Response(status_code=204)
        reopen = partial(open_stream, state.catalog, job_id, None)
        live = Live(hub, subscription, reopen, state.settings.stream_keep_alive_seconds)
        return EventStream(
            live.parts(opening, state.settings.stream_max_seconds),
            held=stack.pop_all(),
            hang_up=subscription.end,
            send_seconds=state.settings.stream_send_seconds,
        )


def parse_types(given: list[str] | None, known: frozenset[str] = ALL_TYPES) -> frozenset[str]:
    """Return the types that a client wants; all that are known if it names none.

    Raises:
        ValidationProblem: there is no such type.
    """
    names = {name.strip() for part in given or [] for name in part.split(",")} - {""}
    unknown = sorted(names - known)
    if unknown:
        raise ValidationProblem(
            f"There are no events of type {unknown[0][:64]!r}. Types: {', '.join(sorted(known))}.",
            errors=[FieldProblem(pointer="/types", detail="unknown type")],
        )
    return frozenset(names) or known


def parse_number(text: str | None) -> int | None:
    """Return the number of an event; None for anything that is not one of ours."""
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > MAX_NUMBER_LENGTH:
        return None
    return int(text)


def open_stream(catalog: Catalog, job_id: str, last_seq: int | None) -> Opening:
    """Return what comes first: what was missed, or a snapshot.

    Raises:
        NotFound: unknown job.
    """
    with catalog.read() as session:
        row = use_cases.get_job(session, job_id)
        missed = None
        if last_seq is not None:
            missed = event_reading.missed_events(session, row, last_seq)
        found = _snapshot(session, row) if missed is None else missed
        return Opening([encode(event) for event in found], row.event_seq, is_done(row))


def _snapshot(session: Session, row: JobRow) -> list[Event]:
    document: dict[str, Any] = rendering.job(session, row).model_dump(mode="json")
    if not is_done(row):
        return [Event(row.event_seq, "job.snapshot", document)]
    # The snapshot stands before the end: who is cut off between the two still gets the end.
    end = event_reading.end_of(session, row)
    return [Event(row.event_seq - 1, "job.snapshot", document), end]


class Live:
    """One stream, from its opening to its end."""

    def __init__(
        self,
        hub: EventHub,
        subscription: Subscription,
        reopen: "partial[Opening]",
        keep_alive_seconds: float,
    ) -> None:
        self._hub = hub
        self._subscription = subscription
        self._reopen = reopen
        self._keep_alive_seconds = keep_alive_seconds
        self._seq = 0

    async def parts(self, opening: Opening, max_seconds: float) -> AsyncGenerator[bytes, None]:
        """Yield bytes to send."""
        until = time.monotonic() + max_seconds
        yield self._opened(opening)
        if opening.is_done:
            return
        while time.monotonic() < until:
            if not await self._subscription.wait(self._keep_alive_seconds):
                yield KEEP_ALIVE
                continue
            ended = self._subscription.ended  # before taking: then nothing comes after it
            if self._subscription.overrun:
                yield await self._start_over()
            elif data := self._data(self._subscription.take()):
                yield data
            if ended:
                return

    def _opened(self, opening: Opening) -> bytes:
        self._seq = opening.seq
        lines = [line for line in opening.lines if line.type in self._subscription.types]
        return opening_line(None if lines else opening.seq) + b"".join(x.data for x in lines)

    def _data(self, lines: list[Line]) -> bytes:
        news = [line for line in lines if line.seq > self._seq]
        if news:
            self._seq = news[-1].seq
        return b"".join(line.data for line in news)

    async def _start_over(self) -> bytes:
        """The client did not keep up: what it lost is in a snapshot."""
        self._subscription.take()
        self._subscription.overrun = False
        return self._opened(await self._hub.read(self._reopen))
