"""Label sets."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from api_schemas.label_sets import LabelSet, LabelSetEntry
from selvage_client.requests import label_sets
from selvage_client.resources.base import AsyncResource, Resource


class LabelSets(Resource):
    """`client.label_sets`: frozen selections of labels."""

    def create(
        self,
        jobs: Sequence[str] = (),
        *,
        annotation_set: str | None = None,
        selection: Mapping[str, Any] | BaseModel | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> LabelSet:
        """Freeze labels of jobs, labels by people, or both.

        Args:
            jobs: generate or refine jobs that are done; of two labels of an image the one of the
                job named last is taken.
            annotation_set: labels by people, which go before all others; of purpose `initial`.
            selection: what gets in, such as `{"min_quality": 0.8, "max_images": 500}`.
        """
        if isinstance(selection, BaseModel):
            selection = selection.model_dump(mode="json", exclude_unset=True)
        fields = {
            "jobs": list(jobs),
            "annotation_set": annotation_set,
            "selection": selection,
            "name": name,
        }
        return self._send(label_sets.create(fields, idempotency_key))

    def get(self, label_set_id: str) -> LabelSet:
        return self._send(label_sets.label_set(label_set_id))

    def entries(self, label_set_id: str) -> Iterator[LabelSetEntry]:
        """Yield the labels of a set, in order."""
        return self._entries(label_sets.entries(label_set_id))

    def delete(self, label_set_id: str, *, force: bool = False) -> None:
        """Delete a label set; its labels stay as long as a job shows them."""
        self._send(label_sets.delete_label_set(label_set_id, force=force))

    def list(self) -> Iterator[LabelSet]:
        return self._entries(label_sets.label_sets())


class AsyncLabelSets(AsyncResource):
    """`client.label_sets`: frozen selections of labels."""

    async def create(
        self,
        jobs: Sequence[str] = (),
        *,
        annotation_set: str | None = None,
        selection: Mapping[str, Any] | BaseModel | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> LabelSet:
        """Freeze labels of jobs, labels by people, or both.

        Args:
            jobs: generate or refine jobs that are done; of two labels of an image the one of the
                job named last is taken.
            annotation_set: labels by people, which go before all others; of purpose `initial`.
            selection: what gets in, such as `{"min_quality": 0.8, "max_images": 500}`.
        """
        if isinstance(selection, BaseModel):
            selection = selection.model_dump(mode="json", exclude_unset=True)
        fields = {
            "jobs": list(jobs),
            "annotation_set": annotation_set,
            "selection": selection,
            "name": name,
        }
        return await self._send(label_sets.create(fields, idempotency_key))

    async def get(self, label_set_id: str) -> LabelSet:
        return await self._send(label_sets.label_set(label_set_id))

    def entries(self, label_set_id: str) -> AsyncIterator[LabelSetEntry]:
        """Yield the labels of a set, in order."""
        return self._entries(label_sets.entries(label_set_id))

    async def delete(self, label_set_id: str, *, force: bool = False) -> None:
        """Delete a label set; its labels stay as long as a job shows them."""
        await self._send(label_sets.delete_label_set(label_set_id, force=force))

    def list(self) -> AsyncIterator[LabelSet]:
        return self._entries(label_sets.label_sets())
