"""Jobs: watch, list, stop; `job_starts` starts them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx

from api_schemas.events import EventType
from api_schemas.jobs import ItemStatus, Job, JobItem, JobStatus, JobType, ResultLine
from selvage_client.errors import SelvageError
from selvage_client.events import EventFeed, JobEvent
from selvage_client.polling import Watch
from selvage_client.requests import jobs
from selvage_client.resources.job_starts import AsyncJobStarts, JobStarts


class Jobs(JobStarts):
    """Methods of `Selvage` about jobs."""

    def jobs(
        self,
        status: JobStatus | None = None,
        type: JobType | None = None,
        *,
        filter: str | None = None,
        order_by: str | None = None,
    ) -> Iterator[Job]:
        """Yield jobs, the newest first.

        Args:
            filter: comparisons, such as `status=failed AND metadata.ticket="ML-42"`.
            order_by: such as `finished_at desc`.
        """
        return self._entries(jobs.jobs(status, type, filter, order_by))

    def job(self, job_id: str) -> Job:
        return self._send(jobs.job(job_id))

    def items(
        self, job_id: str, status: ItemStatus | None = None, *, filter: str | None = None
    ) -> Iterator[JobItem]:
        """Yield the items of a job: one per uploaded file."""
        return self._entries(jobs.items(job_id, status, filter))

    def results(self, job_id: str) -> Iterator[ResultLine]:
        """Yield the result lines of a job while they are read."""
        return self._transport.lines(jobs.results(job_id))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; what is done stays."""
        return self._send(jobs.cancel(job_id))

    def retry(self, job_id: str, only: str = "failed") -> Job:
        """Start a new job for the failed (or `all`) items of one that is done."""
        return self._send(jobs.retry(job_id, only))

    def delete_job(self, job_id: str, *, force: bool = False) -> None:
        """Delete a job and the labels that no other job shows; `force`: cancel it, if it runs."""
        self._send(jobs.delete_job(job_id, force=force))

    def progress(self, job_id: str) -> Iterator[Job]:
        """Yield a job now and after every change; end when it is done."""
        watch = Watch()
        while True:
            job = self.job(job_id)
            if watch.changed(job):
                yield job
            if job.done:
                return
            time.sleep(watch.pause_seconds(job))

    def events(
        self,
        job_id: str,
        *,
        types: Sequence[EventType] | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[JobEvent]:
        """Yield what happens to a job, as it happens; end when it is done.

        A connection that breaks is made anew, and nothing is lost or told twice. Where streams are
        refused the job is polled instead: then only `job.snapshot` and `job.done` come.

        Args:
            types: only these; all without it.
            last_event_id: go on behind this event; `0` for the beginning.
        """
        feed = EventFeed(job_id, types, last_event_id)
        while not (feed.finished or feed.polling):
            try:
                yield from self._one_stream(feed)
            except SelvageError as error:
                feed.refused(error)
            time.sleep(feed.pause_seconds())
        watch = Watch()
        while not feed.finished:
            job = self.job(job_id)
            yield from feed.looked(job)
            if not job.done:
                time.sleep(watch.pause_seconds(job))

    def _one_stream(self, feed: EventFeed) -> Iterator[JobEvent]:
        with self._transport.stream(feed.call()) as response:
            if not feed.opened(response.status_code, response.headers.get("content-type", "")):
                return
            try:
                for chunk in response.iter_bytes():
                    yield from feed.read(chunk)
                    if feed.finished:
                        return
            except httpx.TransportError:
                return

    def wait(self, job_id: str, timeout_seconds: float | None = None) -> Job:
        """Return a job when it is done, however it ended.

        Raises:
            WaitTimeout: it is not done in time; it goes on.
        """
        watch = Watch(timeout_seconds)
        while not (job := self._send(jobs.job(job_id, watch.ask_seconds()))).done:
            time.sleep(watch.pause_seconds(job))
        return job


class AsyncJobs(AsyncJobStarts):
    """The same for coroutines."""

    def jobs(
        self,
        status: JobStatus | None = None,
        type: JobType | None = None,
        *,
        filter: str | None = None,
        order_by: str | None = None,
    ) -> AsyncIterator[Job]:
        """Yield jobs, the newest first."""
        return self._entries(jobs.jobs(status, type, filter, order_by))

    async def job(self, job_id: str) -> Job:
        return await self._send(jobs.job(job_id))

    def items(
        self, job_id: str, status: ItemStatus | None = None, *, filter: str | None = None
    ) -> AsyncIterator[JobItem]:
        """Yield the items of a job: one per uploaded file."""
        return self._entries(jobs.items(job_id, status, filter))

    def results(self, job_id: str) -> AsyncIterator[ResultLine]:
        """Yield the result lines of a job while they are read."""
        return self._transport.lines(jobs.results(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; what is done stays."""
        return await self._send(jobs.cancel(job_id))

    async def retry(self, job_id: str, only: str = "failed") -> Job:
        """Start a new job for the failed (or `all`) items of one that is done."""
        return await self._send(jobs.retry(job_id, only))

    async def delete_job(self, job_id: str, *, force: bool = False) -> None:
        """Delete a job and the labels that no other job shows."""
        await self._send(jobs.delete_job(job_id, force=force))

    async def progress(self, job_id: str) -> AsyncIterator[Job]:
        """Yield a job now and after every change; end when it is done."""
        watch = Watch()
        while True:
            job = await self.job(job_id)
            if watch.changed(job):
                yield job
            if job.done:
                return
            await asyncio.sleep(watch.pause_seconds(job))

    async def events(
        self,
        job_id: str,
        *,
        types: Sequence[EventType] | None = None,
        last_event_id: str | None = None,
    ) -> AsyncIterator[JobEvent]:
        """Yield what happens to a job, as it happens; end when it is done."""
        feed = EventFeed(job_id, types, last_event_id)
        while not (feed.finished or feed.polling):
            try:
                async for event in self._one_stream(feed):
                    yield event
            except SelvageError as error:
                feed.refused(error)
            await asyncio.sleep(feed.pause_seconds())
        watch = Watch()
        while not feed.finished:
            job = await self.job(job_id)
            for event in feed.looked(job):
                yield event
            if not job.done:
                await asyncio.sleep(watch.pause_seconds(job))

    async def _one_stream(self, feed: EventFeed) -> AsyncIterator[JobEvent]:
        async with self._transport.stream(feed.call()) as response:
            if not feed.opened(response.status_code, response.headers.get("content-type", "")):
                return
            try:
                async for chunk in response.aiter_bytes():
                    for event in feed.read(chunk):
                        yield event
                    if feed.finished:
                        return
            except httpx.TransportError:
                return

    async def wait(self, job_id: str, timeout_seconds: float | None = None) -> Job:
        """Return a job when it is done, however it ended."""
        watch = Watch(timeout_seconds)
        while not (job := await self._send(jobs.job(job_id, watch.ask_seconds()))).done:
            await asyncio.sleep(watch.pause_seconds(job))
        return job
