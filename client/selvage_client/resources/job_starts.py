"""Jobs: start one of each type."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from api_schemas.jobs import Job
from selvage_client.requests import Pipeline, jobs
from selvage_client.resources.base import AsyncResource, Resource


class JobStarts(Resource):
    """Methods of `Selvage` that start jobs."""

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
            pipeline: a configuration, or the name of a stored one.
            options: `priority`, `failure_policy`, `metadata`, `webhook`, `schedule_at`,
                `deadline_at` (an aware `datetime`, or a `timedelta` from now).
        """
        request = jobs.generate(image_set, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def refine(
        self,
        labels_of_job: str | None = None,
        *,
        annotation_set: str | None = None,
        model: str | None = None,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that labels the images of another job again, and keeps what stays the same.

        Args:
            annotation_set: uploaded labels of purpose `initial` to grow and correct instead.
            model: by default the version that is current when the job starts; needed for an
                annotation set.
            pipeline: by default that of the labels.
            options: as for `generate`.
        """
        request = jobs.refine(labels_of_job, annotation_set, model, pipeline, options)
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
            options: as for `generate`.
        """
        request = jobs.evaluate(annotation_set, labels_of_job, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def adapt(
        self, image_set: str, model: str, *, idempotency_key: str | None = None, **options: Any
    ) -> Job:
        """Start a job that re-estimates a model's normalisation statistics on these images.

        Args:
            options: `sample_images`, `seed`, `promote`, and as for `generate`.
        """
        request = jobs.adapt(image_set, model, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def fit_connectivity(
        self,
        annotation_set: str,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that fits a model's classifier of regions on labelled source images.

        Args:
            annotation_set: of purpose `source`.
            pipeline: how regions are made; by default with `aggregate`.
            options: `sample_images`, `views`, `seed`, `promote`, and as for `generate`.
        """
        request = jobs.fit_connectivity(annotation_set, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def fit_rectifier(
        self,
        annotation_set: str | None,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that fits a model's rectifier, on labelled source images or on images alone.

        Args:
            annotation_set: of purpose `source`; None with `image_set`.
            pipeline: its stage `predict` is how the model looks at images.
            options: `image_set` (unlabelled, of the target), `sample_images`, `seed`, `promote`,
                and as for `generate`.
        """
        request = jobs.fit_rectifier(annotation_set, model, pipeline, options)
        return self.create_job(request, idempotency_key=idempotency_key)

    def train(
        self,
        label_set: str,
        model: str,
        *,
        source: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that trains a model on a label set.

        Args:
            source: `{"annotations": "ann_…"}`, of purpose `source`; for the setting `uda`.
            options: `setting` (by default `uda`), `recipe`, `steps`, `seed`, `promote`, and as for
                `generate`.
        """
        request = jobs.train(label_set, model, {"source": source, **options})
        return self.create_job(request, idempotency_key=idempotency_key)

    def create_job(
        self, request: Mapping[str, Any] | BaseModel, *, idempotency_key: str | None = None
    ) -> Job:
        """Start any job. Entries that are None are left to the service."""
        return self._send(jobs.create_job(request, idempotency_key))


class AsyncJobStarts(AsyncResource):
    """The same for coroutines."""

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
        request = jobs.generate(image_set, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def refine(
        self,
        labels_of_job: str | None = None,
        *,
        annotation_set: str | None = None,
        model: str | None = None,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that labels the images of another job again, and keeps what stays."""
        request = jobs.refine(labels_of_job, annotation_set, model, pipeline, options)
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
        request = jobs.evaluate(annotation_set, labels_of_job, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def adapt(
        self, image_set: str, model: str, *, idempotency_key: str | None = None, **options: Any
    ) -> Job:
        """Start a job that re-estimates a model's normalisation statistics on these images."""
        request = jobs.adapt(image_set, model, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def fit_connectivity(
        self,
        annotation_set: str,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that fits a model's classifier of regions on labelled source images."""
        request = jobs.fit_connectivity(annotation_set, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def fit_rectifier(
        self,
        annotation_set: str | None,
        model: str,
        *,
        pipeline: Pipeline | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that fits a model's rectifier, on labelled images or on images alone."""
        request = jobs.fit_rectifier(annotation_set, model, pipeline, options)
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def train(
        self,
        label_set: str,
        model: str,
        *,
        source: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Start a job that trains a model on a label set."""
        request = jobs.train(label_set, model, {"source": source, **options})
        return await self.create_job(request, idempotency_key=idempotency_key)

    async def create_job(
        self, request: Mapping[str, Any] | BaseModel, *, idempotency_key: str | None = None
    ) -> Job:
        """Start any job. Entries that are None are left to the service."""
        return await self._send(jobs.create_job(request, idempotency_key))
