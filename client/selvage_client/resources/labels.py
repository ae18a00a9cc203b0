"""Labels out."""

from api_schemas.labels import Label, LabelLineage
from selvage_client.requests import labels
from selvage_client.requests.labels import LabelFormat
from selvage_client.resources.base import AsyncResource, Resource


class Labels(Resource):
    """Methods of `Selvage` about labels."""

    def label(self, label_id: str) -> Label:
        return self._send(labels.label(label_id))

    def label_as(self, label_id: str, format: LabelFormat) -> bytes:
        """Return a label in the format of a tool: PNG, JPEG (`overlay`) or JSON (`hf`, `coco`)."""
        return self._send(labels.label_as(label_id, format))

    def lineage(self, label_id: str) -> LabelLineage:
        """Return everything that a label depends on, and the jobs that show it."""
        return self._send(labels.lineage(label_id))

    def artifact(self, label_id: str, name: str) -> bytes:
        """Return an artefact of a label: `label.png`, `confidence.png`, `regions.json`, …"""
        return self._send(labels.artifact(label_id, name))

    def delete_label(self, label_id: str, *, force: bool = False) -> None:
        """Delete a label; jobs that show it keep their item. Needs the scope `admin`."""
        self._send(labels.delete_label(label_id, force=force))


class AsyncLabels(AsyncResource):
    """The same for coroutines."""

    async def label(self, label_id: str) -> Label:
        return await self._send(labels.label(label_id))

    async def label_as(self, label_id: str, format: LabelFormat) -> bytes:
        """Return a label in the format of a tool."""
        return await self._send(labels.label_as(label_id, format))

    async def lineage(self, label_id: str) -> LabelLineage:
        """Return everything that a label depends on, and the jobs that show it."""
        return await self._send(labels.lineage(label_id))

    async def artifact(self, label_id: str, name: str) -> bytes:
        """Return an artefact of a label."""
        return await self._send(labels.artifact(label_id, name))

    async def delete_label(self, label_id: str, *, force: bool = False) -> None:
        """Delete a label; jobs that show it keep their item. Needs the scope `admin`."""
        await self._send(labels.delete_label(label_id, force=force))
