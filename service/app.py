"""The HTTP application. Imports no torch and nothing heavy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api_schemas.problems import Problem
from domain.settings import Settings
from service import (
    annotations,
    health,
    image_sets,
    jobs,
    labels,
    models,
    ontologies,
    pipelines,
    problems,
    pseudo_labels,
    resumable,
)
from service.body_limit import BodyLimit
from service.envelope import Envelope
from service.heads import HeadAsGet
from service.state import ServiceState
from storage.catalog.engine import Catalog
from storage.catalog.migrations import require_current
from storage.objects import Objects
from storage.queue import Queue

VERSION = "0.1.0"
DESCRIPTION = """
Images of a new domain in, pseudo-labels out: each with a confidence map and a quality score.

Start with `POST /v1/pseudo-labels`, poll `GET /v1/jobs/{id}`, read `GET /v1/jobs/{id}/results`.
Errors are `application/problem+json`; `detail` says what to do.
"""
ROUTERS = (
    pseudo_labels,
    image_sets,
    resumable,
    annotations,
    models,
    ontologies,
    pipelines,
    jobs,
    labels,
    health,
)


def create_app(settings: Settings | None = None, state: ServiceState | None = None) -> FastAPI:
    """Build the application; connections are opened when it starts.

    Raises (at start):
        SchemaMismatch: the catalog has another schema.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = state or open_state(settings)
        require_current(opened.catalog.engine)
        app.state.selvage = opened
        yield
        if state is None:
            opened.queue.close()
            opened.catalog.close()

    app = FastAPI(
        title="Selvage",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=problems.PROBLEM_RESPONSES,
        separate_input_output_schemas=False,
    )
    problems.install(app)
    app.add_middleware(HeadAsGet)  # the last one added is the first that a request meets
    app.add_middleware(
        BodyLimit,
        max_upload_bytes=settings.max_upload_bytes,
        max_json_bytes=settings.max_json_bytes,
    )
    app.add_middleware(Envelope)
    for module in ROUTERS:
        app.include_router(module.router)
    _add_problem_schema(app)
    return app


def open_state(settings: Settings) -> ServiceState:
    """Open the connections that the settings name."""
    return ServiceState(
        settings=settings,
        catalog=Catalog(settings.catalog_url),
        objects=Objects.open(settings.store_address),
        queue=Queue(settings.broker_url),
    )


def _add_problem_schema(app: FastAPI) -> None:
    """Put `Problem` into the document's components, where every error response refers to."""
    original = app.openapi

    def with_problem() -> dict[str, object]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas["Problem"] = schema
        return document

    app.openapi = with_problem  # type: ignore[method-assign]
