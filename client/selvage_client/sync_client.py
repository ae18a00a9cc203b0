"""The client: one method per call of the API, and the few things that take several calls."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from selvage_client.transport import Options, SyncTransport, service_url
from selvage_client.uploads import Source, annotation_part, image_parts


class Selvage:
    """A connection to a Selvage service. Use it in a `with` block, or call `close`.

    Every method raises `SelvageError` when the service refuses or cannot be reached; its text says
    what to do. Calls that get no answer, 429, 502, 503 or 504 are tried again; a POST carries an
    `Idempotency-Key`, so that a second try never makes a second job.

    Args:
        url: address of the service; without it `SELVAGE_URL`, else http://127.0.0.1:8700.
        timeout_seconds: patience for one answer (uploads get at least ten minutes).
        retries: how often and how fast to try again.
        transport: another httpx transport, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = service_url(url)
        options = Options(self.url, timeout_seconds, retries or RetryPolicy())
        self._transport = SyncTransport(options, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # -- images and labels in

    def pseudo_labels(
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
        """Send images and start a job that labels them.

        Args:
            source: a folder, a zip, an image, or a list of paths and (name, bytes).
            model: `name` or `name:version`.
            on_bytes: called with (bytes sent, bytes in all) during the upload.
        """
        call = requests.pseudo_labels(
            image_parts(source),
            model=model,
            pipeline=pipeline,
            metadata=metadata,
            name=name,
            priority=priority,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return self._transport.send(call)

    def create_image_set(
        self,
        source: Source,
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> ImageSetReport:
        """Send images without starting a job."""
        call = requests.create_image_set(
            image_parts(source), name=name, idempotency_key=idempotency_key, on_bytes=on_bytes
        )
        return self._transport.send(call)

    def image_sets(self) -> Iterator[ImageSet]:
        return self._entries(requests.image_sets())

    def image_set(self, image_set_id: str) -> ImageSet:
        return self._transport.send(requests.image_set(image_set_id))

    def image_set_images(
        self, image_set_id: str, status: EntryStatus | None = None
    ) -> Iterator[ImageSetEntry]:
        """Yield what became of each uploaded file."""
        return self._entries(requests.image_set_images(image_set_id, status))

    def upload_annotations(
        self,
        image_set_id: str,
        source: str | os.PathLike[str],
        *,
        purpose: Purpose,
        stored_ignore_value: int | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> AnnotationSetReport:
        """Send ground truth for images of a set.

        Args:
            source: zip or folder of index PNGs named like their images, with `classes.json`.
            purpose: what it may be used for; `evaluation` is read by evaluate jobs alone.
            stored_ignore_value: the pixel value in these files that means ignore.
        """
        with annotation_part(source) as part:
            call = requests.upload_annotations(
                image_set_id,
                part,
                purpose=purpose,
                stored_ignore_value=stored_ignore_value,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return self._transport.send(call)

    def annotation_set(self, annotation_set_id: str) -> AnnotationSet:
        return self._transport.send(requests.annotation_set(annotation_set_id))

    # -- models

    def models(self) -> Iterator[Model]:
        return self._entries(requests.models())

    def model(self, name: str) -> Model:
        return self._transport.send(requests.model(name))

    def versions(self, name: str) -> list[ModelVersion]:
        return self._transport.send(requests.versions(name))

    def version(self, name: str, number: int) -> ModelVersion:
        return self._transport.send(requests.version(name, number))

    def promote(self, name: str, number: int) -> Model:
        """Let the bare model name mean this version; return the model."""
        return self._transport.send(requests.promote(name, number))

    # -- jobs

    def generate(
        self,
        image_set: str,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that labels an image set.

        Args:
            options: `priority`, `failure_policy`, `metadata`.
        """
        request = requests.generate(image_set, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def evaluate(
        self,
        annotation_set: str,
        *,
        labels_of_job: str | None = None,
        model: str | None = None,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that scores the labels of a job, or a model, against ground truth.

        Args:
            options: `priority`, `failure_policy`, `metadata`.
        """
        request = requests.evaluate(annotation_set, labels_of_job, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def adapt(
        self, image_set: str, model: str, *, idempotency_key: str | None = None, **options: Any
    ) -> Job:
        """Start a job that re-estimates a model's normalisation statistics on these images.

        Args:
            options: `sample_images`, `seed`, `promote`, `priority`, `failure_policy`, `metadata`.
        """
        request = requests.adapt(image_set, model, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def create_job(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Start any job. Entries that are None are left to the service."""
        return self._transport.send(requests.create_job(request, idempotency_key))

    def jobs(self, status: JobStatus | None = None, type: JobType | None = None) -> Iterator[Job]:
        """Yield jobs, the newest first."""
        return self._entries(requests.jobs(status, type))

    def job(self, job_id: str) -> Job:
        return self._transport.send(requests.job(job_id))

    def items(self, job_id: str, status: ItemStatus | None = None) -> Iterator[JobItem]:
        """Yield the items of a job: one per uploaded file."""
        return self._entries(requests.items(job_id, status))

    def results(self, job_id: str) -> Iterator[ResultLine]:
        """Yield the result lines of a job while they are read."""
        return self._transport.lines(requests.results(job_id))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; what is done stays."""
        return self._transport.send(requests.cancel(job_id))

    def retry(self, job_id: str, only: str = "failed") -> Job:
        """Start a new job for the failed (or `all`) items of one that is done."""
        return self._transport.send(requests.retry(job_id, only))

    # -- labels out

    def label(self, label_id: str) -> Label:
        return self._transport.send(requests.label(label_id))

    def artifact(self, label_id: str, name: str) -> bytes:
        """Return an artefact of a label: `label.png`, `confidence.png`, `stages/predict.png`."""
        return self._transport.send(requests.artifact(label_id, name))

    def image(self, digest: str) -> bytes:
        """Return the bytes of an uploaded image."""
        return self._transport.send(requests.image(digest))

    # -- several calls

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

    def wait(self, job_id: str, timeout_seconds: float | None = None) -> Job:
        """Return a job when it is done, however it ended.

        Raises:
            WaitTimeout: it is not done in time; it goes on.
        """
        watch = Watch(timeout_seconds)
        while not (job := self.job(job_id)).done:
            time.sleep(watch.pause_seconds(job))
        return job

    def download(
        self,
        job_id: str,
        folder: str | os.PathLike[str],
        *,
        confidence: bool = True,
        threads: int = 4,
        on_file: Callable[[int, int], None] | None = None,
    ) -> DownloadReport:
        """Put the labels of a job into a folder; a second call fetches what is missing.

        Writes `labels/NAME.png` (index PNG, 255 = ignore), `confidence/NAME.png` and
        `results.jsonl`, whose lines name the files.

        Args:
            confidence: also fetch the confidence maps.
            threads: files fetched at a time.
            on_file: called with (files there, files in all).
        """
        plan = plan_download(Path(folder), self.results(job_id), confidence=confidence)
        total = plan.kept_files + len(plan.fetches)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            try:
                for done, _ in enumerate(pool.map(self._fetch, plan.fetches), 1):
                    if on_file is not None:
                        on_file(plan.kept_files + done, total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return plan.report()

    def _fetch(self, fetch: Fetch) -> None:
        write_atomically(fetch.path, self.artifact(fetch.label_id, fetch.artifact))

    def _entries(self, listing: Listing[EntryT]) -> Iterator[EntryT]:
        token = None
        while True:
            page = self._transport.send(listing.page(token))
            yield from page.entries
            token = page.next_page_token
            if token is None:
                return
