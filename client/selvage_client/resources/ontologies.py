"""Ontologies."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from api_schemas.ontologies import CvatLabel, Ontology, StoredOntology
from selvage_client.requests import ontologies
from selvage_client.resources.base import AsyncResource, Resource

CvatLabels = list[CvatLabel]


class Ontologies(Resource):
    """`client.ontologies`: classes, and what to paste into Label Studio or CVAT for them."""

    def create(
        self,
        name: str,
        classes: Sequence[Mapping[str, Any] | BaseModel | str],
        *,
        idempotency_key: str | None = None,
    ) -> StoredOntology:
        """Store classes; the same content again is the same ontology.

        Args:
            classes: names, or `{"name": …, "color": (r, g, b), "kind": "thing", …}`, in order.
        """
        return self._send(ontologies.create(name, classes, idempotency_key))

    def get(self, ontology_id: str) -> StoredOntology:
        return self._send(ontologies.ontology(ontology_id))

    def label_studio_config(self, ontology_id: str) -> str:
        """Return the XML of a project's labelling interface."""
        return self._send(ontologies.label_studio_config(ontology_id))

    def cvat_labels(self, ontology_id: str) -> CvatLabels:
        """Return what the field *Raw* of a task's labels takes."""
        return self._send(ontologies.cvat_labels(ontology_id))

    def of_model(self, name: str, number: int) -> Ontology:
        """Return the classes of a model version."""
        return self._send(ontologies.of_model(name, number))

    def label_studio_config_of_model(self, name: str, number: int) -> str:
        return self._send(ontologies.label_studio_config_of_model(name, number))

    def cvat_labels_of_model(self, name: str, number: int) -> CvatLabels:
        return self._send(ontologies.cvat_labels_of_model(name, number))

    def list(self) -> Iterator[StoredOntology]:
        return self._entries(ontologies.ontologies())


class AsyncOntologies(AsyncResource):
    """`client.ontologies`: classes, and what to paste into Label Studio or CVAT for them."""

    async def create(
        self,
        name: str,
        classes: Sequence[Mapping[str, Any] | BaseModel | str],
        *,
        idempotency_key: str | None = None,
    ) -> StoredOntology:
        """Store classes; the same content again is the same ontology.

        Args:
            classes: names, or `{"name": …, "color": (r, g, b), "kind": "thing", …}`, in order.
        """
        return await self._send(ontologies.create(name, classes, idempotency_key))

    async def get(self, ontology_id: str) -> StoredOntology:
        return await self._send(ontologies.ontology(ontology_id))

    async def label_studio_config(self, ontology_id: str) -> str:
        """Return the XML of a project's labelling interface."""
        return await self._send(ontologies.label_studio_config(ontology_id))

    async def cvat_labels(self, ontology_id: str) -> CvatLabels:
        """Return what the field *Raw* of a task's labels takes."""
        return await self._send(ontologies.cvat_labels(ontology_id))

    async def of_model(self, name: str, number: int) -> Ontology:
        """Return the classes of a model version."""
        return await self._send(ontologies.of_model(name, number))

    async def label_studio_config_of_model(self, name: str, number: int) -> str:
        return await self._send(ontologies.label_studio_config_of_model(name, number))

    async def cvat_labels_of_model(self, name: str, number: int) -> CvatLabels:
        return await self._send(ontologies.cvat_labels_of_model(name, number))

    def list(self) -> AsyncIterator[StoredOntology]:
        return self._entries(ontologies.ontologies())
