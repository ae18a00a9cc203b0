"""Ontologies: `/v1/ontologies`, and the same for the classes of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from api_schemas.ontologies import (
    CvatLabel,
    Ontology,
    OntologyCreate,
    OntologyPage,
    StoredOntology,
)
from selvage_client.calls import Call, Listing, Page, get, listing, post, segment
from selvage_client.errors import invalid_fields
from selvage_client.requests.models import version_path

_CVAT: Final[TypeAdapter[list[CvatLabel]]] = TypeAdapter(list[CvatLabel])


def create(
    name: str,
    classes: Sequence[Mapping[str, Any] | BaseModel | str],
    idempotency_key: str | None = None,
) -> Call[StoredOntology]:
    """POST /v1/ontologies; a class may be its name alone."""
    given = [{"name": one} if isinstance(one, str) else one for one in classes]
    try:
        request = OntologyCreate.model_validate({"name": name, "classes": given})
    except ValidationError as error:
        raise invalid_fields("ontology", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    return post("/v1/ontologies", StoredOntology.model_validate_json, content, idempotency_key)


def ontologies() -> Listing[StoredOntology]:
    """GET /v1/ontologies."""

    def parse(content: bytes) -> Page[StoredOntology]:
        page = OntologyPage.model_validate_json(content)
        return Page(page.ontologies, page.next_page_token)

    return listing("/v1/ontologies", parse)


def ontology(ontology_id: str) -> Call[StoredOntology]:
    """GET /v1/ontologies/{id}."""
    return get(_path(ontology_id), StoredOntology.model_validate_json)


def label_studio_config(ontology_id: str) -> Call[str]:
    """GET /v1/ontologies/{id}/label-studio-config."""
    return get(f"{_path(ontology_id)}/label-studio-config", _text)


def cvat_labels(ontology_id: str) -> Call[list[CvatLabel]]:
    """GET /v1/ontologies/{id}/cvat-labels."""
    return get(f"{_path(ontology_id)}/cvat-labels", _CVAT.validate_json)


def of_model(name: str, number: int) -> Call[Ontology]:
    """GET /v1/models/{name}/versions/{n}/ontology."""
    return get(f"{version_path(name, number)}/ontology", Ontology.model_validate_json)


def label_studio_config_of_model(name: str, number: int) -> Call[str]:
    """GET /v1/models/{name}/versions/{n}/ontology/label-studio-config."""
    path = f"{version_path(name, number)}/ontology/label-studio-config"
    return get(path, _text)


def cvat_labels_of_model(name: str, number: int) -> Call[list[CvatLabel]]:
    """GET /v1/models/{name}/versions/{n}/ontology/cvat-labels."""
    return get(f"{version_path(name, number)}/ontology/cvat-labels", _CVAT.validate_json)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _path(ontology_id: str) -> str:
    return f"/v1/ontologies/{segment(ontology_id)}"
