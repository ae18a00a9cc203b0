"""The same client for coroutines."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from api_schemas.annotations import AnnotationSet, AnnotationSetReport, Purpose
from api_schemas.image_sets import EntryStatus, ImageSet, ImageSetEntry, ImageSetReport
from api_schemas.jobs import ItemStatus, Job, JobItem, JobStatus, JobType, ResultLine
from api_schemas.labels import Label, PseudoLabelsCreated
from api_schemas.models import Model, ModelVersion
from selvage_client import requests
from selvage_client.calls import EntryT, Listing
from selvage_client.downloads import DownloadReport, Fetch, plan_download, write_atomically
from selvage_client.multipart import BytesProgress
from selvage_client.polling import Watch
from selvage_client.requests import Pipeline
from selvage_client.retrying import RetryPolicy
from selvage_client.transport import AsyncTransport, Options, service_url
from selvage_client.uploads import Source, annotation_part, image_parts


class AsyncSelvage:
    """`Selvage` for coroutines: the same methods and arguments, see there.

    Single answers are awaited (`await client.job(id)`); listings, `results` and `progress` are
    asynchronous iterators (`async for job in client.progress(id)`).
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        options = Options(self.url, timeout_seconds, retries or RetryPolicy())
        self._transport = AsyncTransport(options, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # -- images and labels in

    async def pseudo_labels(
        self,
        source: Source,
        *,
        model: str,
        pipeline: Pipeline | None = None,
        metadata: Mapping[str, str] | None = None,
        name: str | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> PseudoLabelsCreated:
        """Send images and start a job that labels them."""
        call = requests.pseudo_labels(
            await asyncio.to_thread(image_parts, source),
            model=model,
            pipeline=pipeline,
            metadata=metadata,
            name=name,
            priority=priority,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return await self._transport.send(call)

    async def create_image_set(
        self,
        source: Source,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> ImageSetReport:
        """Send images without starting a job."""
        parts = await asyncio.to_thread(image_parts, source)
        call = requests.create_image_set(
            parts, name=name, idempotency_key=idempotency_key, on_bytes=on_bytes
        )
        return await self._transport.send(call)

    def image_sets(self) -> AsyncIterator[ImageSet]:
        return self._entries(requests.image_sets())

    async def image_set(self, image_set_id: str) -> ImageSet:
        return await self._transport.send(requests.image_set(image_set_id))

    def image_set_images(
        self, image_set_id: str, status: EntryStatus | None = None
    ) -> AsyncIterator[ImageSetEntry]:
        """Yield what became of each uploaded file."""
        return self._entries(requests.image_set_images(image_set_id, status))

    async def upload_annotations(
        self,
        image_set_id: str,
        source: str | os.PathLike[str],
        *,
        purpose: Purpose,
        stored_ignore_value: int | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> AnnotationSetReport:
        """Send ground truth for images of a set."""
        packing = annotation_part(source)
        part = await asyncio.to_thread(packing.__enter__)
        try:
            call = requests.upload_annotations(
                image_set_id,
                part,
                purpose=purpose,
                stored_ignore_value=stored_ignore_value,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return await self._transport.send(call)
        finally:
            packing.__exit__(None, None, None)

    async def annotation_set(self, annotation_set_id: str) -> AnnotationSet:
        return await self._transport.send(requests.annotation_set(annotation_set_id))

    # -- models

    def models(self) -> AsyncIterator[Model]:
        return self._entries(requests.models())

    async def model(self, name: str) -> Model:
        return await self._transport.send(requests.model(name))

    async def versions(self, name: str) -> list[ModelVersion]:
        return await self._transport.send(requests.versions(name))

    async def version(self, name: str, number: int) -> ModelVersion:
        return await self._transport.send(requests.version(name, number))

    async def promote(self, name: str, number: int) -> Model:
        """Let the bare model name mean this version; return the model."""
        return await self._transport.send(requests.promote(name, number))

    # -- jobs

    async def generate(
        self,
        image_set: str,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that labels an image set."""
        request = requests.generate(image_set, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def evaluate(
        self,
        annotation_set: str,
        *,
        labels_of_job: str | None = None,
        model: str | None = None,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that scores the labels of a job, or a model, against ground truth."""
        request = requests.evaluate(annotation_set, labels_of_job, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def adapt(
        self, image_set: str, model: str, *, idempotency_key: str | None = None, **options: Any
    ) -> Job:
        """Start a job that re-estimates a model's normalisation statistics on these images."""
        request = requests.adapt(image_set, model, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def create_job(
        self, request: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Job:
        """Start any job. Entries that are None are left to the service."""
        return await self._transport.send(requests.create_job(request, idempotency_key))

    def jobs(
        self, status: JobStatus | None = None, type: JobType | None = None
    ) -> AsyncIterator[Job]:
        """Yield jobs, the newest first."""
        return self._entries(requests.jobs(status, type))

    async def job(self, job_id: str) -> Job:
        return await self._transport.send(requests.job(job_id))

    def items(self, job_id: str, status: ItemStatus | None = None) -> AsyncIterator[JobItem]:
        """Yield the items of a job: one per uploaded file."""
        return self._entries(requests.items(job_id, status))

    def results(self, job_id: str) -> AsyncIterator[ResultLine]:
        """Yield the result lines of a job while they are read."""
        return self._transport.lines(requests.results(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; what is done stays."""
        return await self._transport.send(requests.cancel(job_id))

    async def retry(self, job_id: str, only: str = "failed") -> Job:
        """Start a new job for the failed (or `all`) items of one that is done."""
        return await self._transport.send(requests.retry(job_id, only))

    # -- labels out

    async def label(self, label_id: str) -> Label:
        return await self._transport.send(requests.label(label_id))

    async def artifact(self, label_id: str, name: str) -> bytes:
        """Return an artefact of a label."""
        return await self._transport.send(requests.artifact(label_id, name))

    async def image(self, digest: str) -> bytes:
        """Return the bytes of an uploaded image."""
        return await self._transport.send(requests.image(digest))

    # -- several calls

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

    async def wait(self, job_id: str, timeout_seconds: float | None = None) -> Job:
        """Return a job when it is done, however it ended."""
        watch = Watch(timeout_seconds)
        while not (job := await self.job(job_id)).done:
            await asyncio.sleep(watch.pause_seconds(job))
        return job

    async def download(
        self,
        job_id: str,
        folder: str | os.PathLike[str],
        *,
        confidence: bool = True,
        at_a_time: int = 4,
        on_file: Callable[[int, int], None] | None = None,
    ) -> DownloadReport:
        """Put the labels of a job into a folder; a second call fetches what is missing."""
        lines = [line async for line in self.results(job_id)]
        plan = await asyncio.to_thread(plan_download, Path(folder), lines, confidence=confidence)
        total = plan.kept_files + len(plan.fetches)
        waiting = iter(plan.fetches)
        done = plan.kept_files

        async def fetch_some(fetches: Iterator[Fetch]) -> None:
            nonlocal done
            for fetch in fetches:
                content = await self.artifact(fetch.label_id, fetch.artifact)
                await asyncio.to_thread(write_atomically, fetch.path, content)
                done += 1
                if on_file is not None:
                    on_file(done, total)

        await _all_or_first_error(fetch_some(waiting) for _ in range(max(1, at_a_time)))
        return plan.report()

    async def _entries(self, listing: Listing[EntryT]) -> AsyncIterator[EntryT]:
        token = None
        while True:
            page = await self._transport.send(listing.page(token))
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if token is None:
                return


async def _all_or_first_error(workers: Iterator[Any]) -> None:
    """Run all; when one fails, stop the others and raise its error as it is."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
