"""One look for all: the poller of an API process that feeds every stream and every wait.

A topic is a job that somebody watches; its subscriptions are the streams and waits on it. Each
look asks the catalog once for the `event_seq` of all topics and reads on only where it moved, so
the cost does not depend on the number of clients. What a look finds is encoded once and handed to
all. A subscription that does not keep up loses what waits for it and gets a snapshot instead.

Wake-ups over the broker make a look come sooner; without a broker nothing is missing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from sqlalchemy.exc import SQLAlchemyError

from api_schemas.problems import TooManyStreams
from domain.event_reading import Look, look_at
from domain.settings import Settings
from service.event_encoding import Line, encode
from storage import wakeups
from storage.catalog.engine import Catalog
from storage.catalog.events import Event

log = structlog.get_logger("service.events")
PROGRESS_SECONDS: Final = 0.5
SHORTEST_PAUSE_SECONDS: Final = 0.05  # however often it is woken
PAUSE_AFTER_ERROR_SECONDS: Final = 1.0
MAX_PENDING_EVENTS: Final = 1000
READERS: Final = 4
T = TypeVar("T")


class Subscription:
    """One stream or wait: what it has not taken yet, and how to wake it."""

    def __init__(self, types: frozenset[str]) -> None:
        self.types = types
        self.overrun = False
        self.ended = False
        self._pending: list[Line] = []
        self._wake = asyncio.Event()

    def offer(self, lines: list[Line]) -> None:
        """Queue what the client asked for; too much of it becomes a request for a snapshot."""
        wanted = [line for line in lines if line.type in self.types]
        if not wanted or self.overrun:
            return
        self._pending += wanted
        if len(self._pending) > MAX_PENDING_EVENTS:
            self._pending.clear()
            self.overrun = True
        self._wake.set()

    def end(self) -> None:
        """Nothing will come any more; what is queued may still be taken."""
        self.ended = True
        self._wake.set()

    def take(self) -> list[Line]:
        taken, self._pending = self._pending, []
        self._wake.clear()
        return taken

    async def wait(self, seconds: float) -> bool:
        """Sleep until there is something to take or the end; False on time-out."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True


@dataclass(eq=False)
class Topic:
    """A watched job or campaign; `told_seq` is how far its subscriptions have been told."""

    job_id: str
    ready: "asyncio.Future[None]"
    told_seq: int | None = None
    told_facts: dict[str, Any] | None = None  # of the last progress
    progress_at: float = float("-inf")
    progress: Event | None = None  # waits for its turn
    subscriptions: set[Subscription] = field(default_factory=set)

    def publish(self, events: list[Event]) -> None:
        lines = [encode(event) for event in events]
        for subscription in self.subscriptions:
            subscription.offer(lines)

    def end(self) -> None:
        for subscription in self.subscriptions:
            subscription.end()


class EventHub:
    """Watches jobs for the streams of one process; lives on one event loop."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._topics: dict[str, Topic] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._woken = asyncio.Event()
        self._closed = False
        self._poll_limiter = CapacityLimiter(1)
        self._read_limiter = CapacityLimiter(READERS)
        self.watching = 0

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def topics(self) -> int:
        """Number of jobs that are watched."""
        return len(self._topics)

    def wake(self) -> None:
        """Look at the jobs now."""
        self._woken.set()

    async def read(self, function: Callable[[], T]) -> T:
        """Run a short look at the catalog outside of the event loop, a few at a time."""
        return await anyio.to_thread.run_sync(function, limiter=self._read_limiter)

    @contextlib.asynccontextmanager
    async def subscribe(self, job_id: str, types: frozenset[str]) -> AsyncIterator[Subscription]:
        """Watch a job; what happens after this has been entered reaches the subscription.

        Raises:
            TooManyStreams: this process watches for as many clients as it may.
            SQLAlchemyError: the catalog failed.
        """
        if self.watching >= self._settings.max_streams:
            raise TooManyStreams(
                f"{self.watching} clients are watching jobs already (SELVAGE_MAX_STREAMS). Poll "
                "GET /v1/jobs/{id} instead, or try again later.",
                headers={"Retry-After": "5"},
            )
        subscription = Subscription(types)
        topic = self._topic(job_id)
        topic.subscriptions.add(subscription)
        self.watching += 1
        try:
            if self._closed:
                subscription.end()
            else:
                await asyncio.shield(topic.ready)
            yield subscription
        finally:
            self.watching -= 1
            topic.subscriptions.discard(subscription)
            if not topic.subscriptions and self._topics.get(job_id) is topic:
                del self._topics[job_id]

    def _topic(self, job_id: str) -> Topic:
        topic = self._topics.get(job_id)
        if topic is None:
            topic = Topic(job_id, asyncio.get_running_loop().create_future())
            topic.ready.add_done_callback(_retrieve)
            self._topics[job_id] = topic
            self._start()
            self.wake()
        return topic

    def _start(self) -> None:
        if self._tasks or self._closed:
            return
        self._tasks.append(asyncio.create_task(self._run(), name="event hub"))
        if self._settings.redis_url is not None:
            listening = wakeups.listen(self._settings.broker_url, self.wake)
            self._tasks.append(asyncio.create_task(listening, name="wake-ups"))

    async def close(self) -> None:
        """End all subscriptions and stop looking."""
        self.end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def end_all(self) -> None:
        """End all subscriptions, now and from now on: the process is about to stop."""
        self._closed = True
        for topic in self._topics.values():
            if not topic.ready.done():
                topic.ready.set_result(None)
            topic.end()

    async def _run(self) -> None:
        while True:
            pause = self._settings.stream_poll_seconds
            try:
                if self._topics and await self._look():
                    pause = 0.0
            except SQLAlchemyError as error:
                log.warning("the catalog failed; streams wait", error=type(error).__name__)
                self._fail_new_topics(error)
                pause = PAUSE_AFTER_ERROR_SECONDS
            if not self._topics:
                await self._woken.wait()
            elif pause:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
            self._woken.clear()
            await asyncio.sleep(0 if not pause else SHORTEST_PAUSE_SECONDS)

    async def _look(self) -> bool:
        """Look once; returns whether there is more to read at once."""
        told = {topic.job_id: topic.told_seq for topic in self._topics.values()}
        looks = await anyio.to_thread.run_sync(
            partial(look_at, self._catalog, told), limiter=self._poll_limiter
        )
        is_more = [self._tell(topic, look) for topic, look in self._watched(looks)]
        self._tell_progress(time.monotonic())
        return any(is_more)

    def _watched(self, looks: dict[str, Look | None]) -> Iterator[tuple[Topic, Look | None]]:
        for job_id, look in looks.items():
            topic = self._topics.get(job_id)
            # A topic may have gone and come again while the look was under way.
            if topic is not None and (look is None or topic.told_seq == look.after_seq):
                yield topic, look

    def _tell(self, topic: Topic, look: Look | None) -> bool:
        """Hand on what a look has found; returns whether there is more."""
        if look is not None:
            topic.told_seq = look.upto_seq
            topic.progress = look.progress
            topic.publish(look.events)
        if not topic.ready.done():
            topic.ready.set_result(None)
        if look is None or (look.is_done and look.is_caught_up):
            topic.end()  # the job is over, or gone
        return look is not None and not look.is_caught_up

    def _tell_progress(self, now: float) -> None:
        """Tell the counts that wait for it, at most twice a second for each job."""
        for topic in self._topics.values():
            progress = topic.progress
            if progress is None or now - topic.progress_at < PROGRESS_SECONDS:
                continue
            topic.progress = None
            if topic.told_facts != progress.data:
                topic.progress_at, topic.told_facts = now, progress.data
                topic.publish([progress])

    def _fail_new_topics(self, error: SQLAlchemyError) -> None:
        for topic in self._topics.values():
            if not topic.ready.done():
                topic.ready.set_exception(error)


def _retrieve(future: "asyncio.Future[None]") -> None:
    """Look at the outcome, so that one that nobody waits for any more is not reported."""
    if not future.cancelled():
        future.exception()
