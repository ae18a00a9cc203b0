"""Named pipelines."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from api_schemas.pipelines import PipelineConfig, PipelineVersion
from selvage_client.requests import pipelines
from selvage_client.resources.base import AsyncResource, Resource


class Pipelines(Resource):
    """`client.pipelines`: configurations with a name; a job takes `name` or `name@2`."""

    def create(
        self,
        name: str,
        config: PipelineConfig | Mapping[str, Any],
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineVersion:
        """Make the next version of a name; the same configuration again is the same version."""
        return self._send(pipelines.create(name, config, description, idempotency_key))

    def get(self, name: str) -> PipelineVersion:
        """Return the latest version."""
        return self._send(pipelines.pipeline(name))

    def versions(self, name: str) -> Iterator[PipelineVersion]:
        """Yield all versions, the oldest first."""
        return self._entries(pipelines.versions(name))

    def version(self, name: str, number: int) -> PipelineVersion:
        return self._send(pipelines.version(name, number))

    def list(self) -> Iterator[PipelineVersion]:
        """Yield the latest version of each pipeline, by name."""
        return self._entries(pipelines.pipelines())


class AsyncPipelines(AsyncResource):
    """`client.pipelines`: configurations with a name; a job takes `name` or `name@2`."""

    async def create(
        self,
        name: str,
        config: PipelineConfig | Mapping[str, Any],
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineVersion:
        """Make the next version of a name; the same configuration again is the same version."""
        return await self._send(pipelines.create(name, config, description, idempotency_key))

    async def get(self, name: str) -> PipelineVersion:
        """Return the latest version."""
        return await self._send(pipelines.pipeline(name))

    def versions(self, name: str) -> AsyncIterator[PipelineVersion]:
        """Yield all versions, the oldest first."""
        return self._entries(pipelines.versions(name))

    async def version(self, name: str, number: int) -> PipelineVersion:
        return await self._send(pipelines.version(name, number))

    def list(self) -> AsyncIterator[PipelineVersion]:
        """Yield the latest version of each pipeline, by name."""
        return self._entries(pipelines.pipelines())
