"""Profiles of labelling tools."""

from collections.abc import Mapping, Sequence
from typing import Any

from api_schemas.integrations import Integration
from selvage_client.requests import integrations
from selvage_client.resources.base import AsyncResource, Resource


class Integrations(Resource):
    """`client.integrations`: profiles by which labelling tools ask for labels."""

    def create(
        self,
        name: str,
        image_set: str,
        model: str,
        *,
        pipeline: Mapping[str, Any] | str | None = None,
        connection: str | None = None,
        idempotency_key: str | None = None,
    ) -> Integration:
        """Make a profile; `links` says at which addresses tools ask.

        Args:
            image_set: tasks are matched to its images by their names.
            model: whose labels are shown.
            pipeline: a configuration, or the name of a stored one.
            connection: of kind `label_studio`, for images that the set lacks and labels that
                come later.
        """
        fields = {
            "name": name,
            "image_set": image_set,
            "model": model,
            "pipeline": pipeline,
            "connection": connection,
        }
        return self._send(integrations.create(fields, idempotency_key))

    def get(self, name: str) -> Integration:
        return self._send(integrations.integration(name))

    def list(self) -> Sequence[Integration]:
        return self._send(integrations.integrations()).integrations

    def delete(self, name: str) -> None:
        """Delete a profile; its labels stay."""
        self._send(integrations.delete_integration(name))


class AsyncIntegrations(AsyncResource):
    """`client.integrations`: profiles by which labelling tools ask for labels."""

    async def create(
        self,
        name: str,
        image_set: str,
        model: str,
        *,
        pipeline: Mapping[str, Any] | str | None = None,
        connection: str | None = None,
        idempotency_key: str | None = None,
    ) -> Integration:
        """Make a profile; `links` says at which addresses tools ask.

        Args:
            image_set: tasks are matched to its images by their names.
            model: whose labels are shown.
            pipeline: a configuration, or the name of a stored one.
            connection: of kind `label_studio`, for images that the set lacks and labels that
                come later.
        """
        fields = {
            "name": name,
            "image_set": image_set,
            "model": model,
            "pipeline": pipeline,
            "connection": connection,
        }
        return await self._send(integrations.create(fields, idempotency_key))

    async def get(self, name: str) -> Integration:
        return await self._send(integrations.integration(name))

    async def list(self) -> Sequence[Integration]:
        return (await self._send(integrations.integrations())).integrations

    async def delete(self, name: str) -> None:
        """Delete a profile; its labels stay."""
        await self._send(integrations.delete_integration(name))
