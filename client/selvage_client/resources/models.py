"""Models and their versions."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from api_schemas.jobs import Job
from api_schemas.models import Model, ModelVersion
from selvage_client.multipart import BytesProgress
from selvage_client.packing import model_part
from selvage_client.requests import models
from selvage_client.resources.base import AsyncResource, Resource


class Models(Resource):
    """Methods of `Selvage` about models."""

    def models(self) -> Iterator[Model]:
        return self._entries(models.models())

    def model(self, name: str) -> Model:
        return self._send(models.model(name))

    def versions(self, name: str) -> list[ModelVersion]:
        return self._send(models.versions(name))

    def version(self, name: str, number: int) -> ModelVersion:
        return self._send(models.version(name, number))

    def upload_model(
        self,
        source: str | os.PathLike[str],
        name: str,
        *,
        promote: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> Job:
        """Send a model as the next version of a name; return the job that checks it.

        Args:
            source: folder of a bundle or a Hugging Face model, or a zip or tar of one.
            promote: let the bare name mean this version, once it is ready.
        """
        with model_part(source) as part:
            call = models.upload_model(
                part,
                name,
                promote=promote,
                metadata=metadata,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return self._send(call)

    def create_version(
        self,
        name: str,
        source: Mapping[str, Any] | BaseModel,
        *,
        promote: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Make a version of a model that is uploaded already, or lies in a bucket.

        Args:
            source: `{"type": "upload", "upload": "upl_…"}` or `{"type": "s3_prefix",
                "connection": "lab", "prefix": "models/street/"}`.
        """
        call = models.create_version(
            name, source, promote=promote, metadata=metadata, idempotency_key=idempotency_key
        )
        return self._send(call)

    def promote(self, name: str, number: int) -> Model:
        """Let the bare model name mean this version; return the model."""
        return self._send(models.promote(name, number))

    def delete_version(self, name: str, number: int, *, force: bool = False) -> None:
        """Delete a version; the labels that it made stay."""
        self._send(models.delete_version(name, number, force=force))


class AsyncModels(AsyncResource):
    """The same for coroutines."""

    def models(self) -> AsyncIterator[Model]:
        return self._entries(models.models())

    async def model(self, name: str) -> Model:
        return await self._send(models.model(name))

    async def versions(self, name: str) -> list[ModelVersion]:
        return await self._send(models.versions(name))

    async def version(self, name: str, number: int) -> ModelVersion:
        return await self._send(models.version(name, number))

    async def upload_model(
        self,
        source: str | os.PathLike[str],
        name: str,
        *,
        promote: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        on_bytes: BytesProgress | None = None,
    ) -> Job:
        """Send a model as the next version of a name; return the job that checks it."""
        packing = model_part(source)
        part = await asyncio.to_thread(packing.__enter__)
        try:
            call = models.upload_model(
                part,
                name,
                promote=promote,
                metadata=metadata,
                idempotency_key=idempotency_key,
                on_bytes=on_bytes,
            )
            return await self._send(call)
        finally:
            packing.__exit__(None, None, None)

    async def create_version(
        self,
        name: str,
        source: Mapping[str, Any] | BaseModel,
        *,
        promote: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Make a version of a model that is uploaded already, or lies in a bucket."""
        call = models.create_version(
            name, source, promote=promote, metadata=metadata, idempotency_key=idempotency_key
        )
        return await self._send(call)

    async def promote(self, name: str, number: int) -> Model:
        """Let the bare model name mean this version; return the model."""
        return await self._send(models.promote(name, number))

    async def delete_version(self, name: str, number: int, *, force: bool = False) -> None:
        """Delete a version; the labels that it made stay."""
        await self._send(models.delete_version(name, number, force=force))
