"""The OpenAPI document, with what FastAPI cannot know: problems, and which key each call needs."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api_schemas.image_sets import ImageSetCreate
from api_schemas.imports import ImportCreate
from api_schemas.labels import LabelRegions
from api_schemas.models import ModelVersionCreate
from api_schemas.problems import PROBLEM_MEDIA_TYPE, Problem
from api_schemas.reviews import ReviewCreate
from service.access import METRICS_PATH, scope_needed

SECURITY_SCHEME = "ApiKey"
# Models that no signature of an endpoint shows: errors, files, and bodies that are read by hand.
NOT_IN_SIGNATURES: tuple[type[BaseModel], ...] = (
    Problem,
    ModelVersionCreate,
    ImageSetCreate,
    LabelRegions,
    ReviewCreate,
    ImportCreate,
)


def complete(app: FastAPI) -> None:
    """Let `app.openapi` return the completed document, made once."""
    original = app.openapi
    made: dict[str, Any] = {}

    def completed() -> dict[str, Any]:
        if not made:
            made.update(original())
            _add_components(made.setdefault("components", {}))
            _add_security(made)
        return made

    app.openapi = completed  # type: ignore[method-assign]


def _add_components(components: dict[str, Any]) -> None:
    """Put in `Problem`, which every error response refers to, and how to show a key."""
    schemas = components.setdefault("schemas", {})
    for model in NOT_IN_SIGNATURES:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in {**schema.pop("$defs", {}), model.__name__: schema}.items():
            schemas.setdefault(name, part)
    components.setdefault("securitySchemes", {})[SECURITY_SCHEME] = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `sv_…`. Not asked for on loopback while no key exists.",
    }
    problem = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        "Unauthenticated": {"description": "No API key, or none that is valid", "content": problem},
        "Forbidden": {"description": "The API key lacks the scope", "content": problem},
    }


def _add_security(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = scope_needed(method.upper(), path)
            if scope is None:
                operation["security"] = []
                continue
            operation["security"] = [{SECURITY_SCHEME: [scope]}]
            if path == METRICS_PATH:
                operation["security"].append({})  # on loopback it is open to who collects them
            responses = operation["responses"]
            responses.setdefault("401", {"$ref": "#/components/responses/Unauthenticated"})
            responses.setdefault("403", {"$ref": "#/components/responses/Forbidden"})
