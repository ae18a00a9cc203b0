"""Images and ground truth in."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from api_schemas.annotations import AnnotationSet, AnnotationSetReport, Purpose
from api_schemas.image_sets import (
    EntryStatus,
    ImageSet,
    ImageSetCreated,
    ImageSetEntry,
    ImageSetReport,
)
from api_schemas.labels import PseudoLabelsCreated
from selvage_client.calls import Moment
from selvage_client.multipart import BytesProgress
from selvage_client.requests import Pipeline, images
from selvage_client.requests.images import Handling, ImageSource
from selvage_client.resources.base import AsyncResource, Resource
from selvage_client.uploads import Source, annotation_part, image_parts


class Images(Resource):
    """Methods of `Selvage` about what goes in."""

    def pseudo_labels(
        self,
        source: Source,
        *,
        model: str,
        pipeline: Pipeline | None = None,
        metadata: Mapping[str, str] | None = None,
        name: str | None = None,
        priority: int | None = None,
        schedule_at: Moment | None = None,
        deadline_at: Moment | None = None,
        failure_policy: Mapping[str, Any] | BaseModel | None = None,
        webhook: Mapping[str, Any] | BaseModel | None = None,
        handling: Handling | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> PseudoLabelsCreated:
        """Send images and start a job that labels them.

        Args:
            source: a folder, an archive, an image, or a list of paths and (name, bytes).
            model: `name` or `name:version`.
            pipeline: a configuration, or the name of a stored one.
            schedule_at: not begun before; a `timedelta` counts from now.
            deadline_at: what is not done by then is cancelled.
            webhook: whom to tell, such as `{"endpoint": "ci"}`.
            handling: `strict` refuses all files if one of them cannot be used.
            on_bytes: called with (bytes sent, bytes in all) during the upload.
        """
        call = images.pseudo_labels(
            image_parts(source),
            model=model,
            pipeline=pipeline,
            metadata=metadata,
            name=name,
            priority=priority,
            schedule_at=schedule_at,
            deadline_at=deadline_at,
            failure_policy=failure_policy,
            webhook=webhook,
            handling=handling,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return self._send(call)

    def create_image_set(
        self,
        source: Source,
        *,
        name: str | None = None,
        handling: Handling | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> ImageSetReport:
        """Send images without starting a job.

        Args:
            handling: `strict` refuses all files if one of them cannot be used.
        """
        call = images.create_image_set(
            image_parts(source),
            name=name,
            handling=handling,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return self._send(call)

    def create_image_set_from(
        self, source: ImageSource, *, name: str | None = None, idempotency_key: str | None = None
    ) -> ImageSetCreated:
        """Let a job of the service fetch images from where they are.

        Args:
            source: such as `{"type": "urls", "urls": […]}`, `{"type": "s3_prefix", "connection":
                "lab", "prefix": "night/"}`, `{"type": "manifest", "url": …}` or `{"type":
                "upload", "upload": "upl_…"}`; or one of the models of `api_schemas.image_sets`.
        """
        call = images.create_image_set_from(source, name=name, idempotency_key=idempotency_key)
        return self._send(call)

    def image_sets(self) -> Iterator[ImageSet]:
        """Yield image sets, the newest first."""
        return self._entries(images.image_sets())

    def image_set(self, image_set_id: str) -> ImageSet:
        return self._send(images.image_set(image_set_id))

    def image_set_images(
        self, image_set_id: str, status: EntryStatus | None = None, *, filter: str | None = None
    ) -> Iterator[ImageSetEntry]:
        """Yield what became of each uploaded file."""
        return self._entries(images.image_set_images(image_set_id, status, filter))

    def delete_image_set(self, image_set_id: str, *, force: bool = False) -> None:
        """Delete a set and its annotation sets; `force`: although finished jobs refer to it."""
        self._send(images.delete_image_set(image_set_id, force=force))

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
            call = images.upload_annotations(
                image_set_id,
                part,
                purpose=purpose,
                stored_ignore_value=stored_ignore_value,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return self._send(call)

    def annotation_set(self, annotation_set_id: str) -> AnnotationSet:
        return self._send(images.annotation_set(annotation_set_id))

    def delete_annotation_set(self, annotation_set_id: str, *, force: bool = False) -> None:
        self._send(images.delete_annotation_set(annotation_set_id, force=force))

    def image(self, digest: str) -> bytes:
        """Return the bytes of an uploaded image."""
        return self._send(images.image(digest))


class AsyncImages(AsyncResource):
    """The same for coroutines."""

    async def pseudo_labels(
        self,
        source: Source,
        *,
        model: str,
        pipeline: Pipeline | None = None,
        metadata: Mapping[str, str] | None = None,
        name: str | None = None,
        priority: int | None = None,
        schedule_at: Moment | None = None,
        deadline_at: Moment | None = None,
        failure_policy: Mapping[str, Any] | BaseModel | None = None,
        webhook: Mapping[str, Any] | BaseModel | None = None,
        handling: Handling | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> PseudoLabelsCreated:
        """Send images and start a job that labels them."""
        call = images.pseudo_labels(
            await asyncio.to_thread(image_parts, source),
            model=model,
            pipeline=pipeline,
            metadata=metadata,
            name=name,
            priority=priority,
            schedule_at=schedule_at,
            deadline_at=deadline_at,
            failure_policy=failure_policy,
            webhook=webhook,
            handling=handling,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return await self._send(call)

    async def create_image_set(
        self,
        source: Source,
        *,
        name: str | None = None,
        handling: Handling | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> ImageSetReport:
        """Send images without starting a job."""
        call = images.create_image_set(
            await asyncio.to_thread(image_parts, source),
            name=name,
            handling=handling,
            idempotency_key=idempotency_key,
            on_bytes=on_bytes,
        )
        return await self._send(call)

    async def create_image_set_from(
        self, source: ImageSource, *, name: str | None = None, idempotency_key: str | None = None
    ) -> ImageSetCreated:
        """Let a job of the service fetch images from where they are."""
        call = images.create_image_set_from(source, name=name, idempotency_key=idempotency_key)
        return await self._send(call)

    def image_sets(self) -> AsyncIterator[ImageSet]:
        """Yield image sets, the newest first."""
        return self._entries(images.image_sets())

    async def image_set(self, image_set_id: str) -> ImageSet:
        return await self._send(images.image_set(image_set_id))

    def image_set_images(
        self, image_set_id: str, status: EntryStatus | None = None, *, filter: str | None = None
    ) -> AsyncIterator[ImageSetEntry]:
        """Yield what became of each uploaded file."""
        return self._entries(images.image_set_images(image_set_id, status, filter))

    async def delete_image_set(self, image_set_id: str, *, force: bool = False) -> None:
        """Delete a set and its annotation sets."""
        await self._send(images.delete_image_set(image_set_id, force=force))

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
            call = images.upload_annotations(
                image_set_id,
                part,
                purpose=purpose,
                stored_ignore_value=stored_ignore_value,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return await self._send(call)
        finally:
            packing.__exit__(None, None, None)

    async def annotation_set(self, annotation_set_id: str) -> AnnotationSet:
        return await self._send(images.annotation_set(annotation_set_id))

    async def delete_annotation_set(self, annotation_set_id: str, *, force: bool = False) -> None:
        await self._send(images.delete_annotation_set(annotation_set_id, force=force))

    async def image(self, digest: str) -> bytes:
        """Return the bytes of an uploaded image."""
        return await self._send(images.image(digest))
