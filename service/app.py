"""The HTTP application. Imports no torch and nothing heavy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from domain.settings import Settings
from service import (
    annotations,
    api_document,
    api_keys,
    campaigns,
    connections,
    deletion,
    docs_page,
    events,
    exports,
    health,
    image_sets,
    imports,
    integrations,
    jobs,
    label_sets,
    label_studio,
    labels,
    metrics,
    model_uploads,
    models,
    nuclio,
    ontologies,
    pipelines,
    problems,
    pseudo_labels,
    quota,
    resumable,
    reviews,
    schedules,
    system,
    webhooks,
)
from service.allowed_methods import AllowedMethods
from service.auth import Authentication
from service.body_limit import BodyLimit
from service.body_pace import BodyPace
from service.envelope import Envelope
from service.event_hub import EventHub
from service.heads import HeadAsGet
from service.pages.routers import PAGES
from service.state import ServiceState
from storage.catalog.engine import Catalog
from storage.catalog.migrations import require_current
from storage.kept_objects import KeptObjects
from storage.queue import Queue

VERSION = "0.1.0"
DESCRIPTION = """
Images of a new domain in, pseudo-labels out: each with a confidence map and a quality score.

Start with `POST /v1/pseudo-labels`, poll `GET /v1/jobs/{id}`, read `GET /v1/jobs/{id}/results`.
Errors are `application/problem+json`; `detail` says what to do.
"""
ROUTERS = (
    pseudo_labels,
    deletion,
    image_sets,
    connections,
    webhooks,
    resumable,
    annotations,
    models,
    model_uploads,
    ontologies,
    pipelines,
    jobs,
    schedules,
    events,
    labels,
    reviews,
    imports,
    integrations,
    label_studio,
    nuclio,
    label_sets,
    exports,
    campaigns,
    api_keys,
    quota,
    system,
    metrics,
    health,
    docs_page,
    *PAGES,
)

# The framework's own spans and records would double ours (service.envelope), and hold bodies.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(settings: Settings | None = None, state: ServiceState | None = None) -> FastAPI:
    """Build the application; connections that are not given are opened when it starts.

    Raises (at start):
        SchemaMismatch: the catalog has another schema.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        given: ServiceState | None = app.state.given
        opened = given or open_state(settings)
        require_current(opened.catalog.engine)
        app.state.selvage = opened
        app.state.event_hub = EventHub(opened.catalog, opened.settings)
        app.state.catalog_registry = metrics.catalog_registry(opened.catalog, opened.settings)
        yield
        await app.state.event_hub.close()
        if given is None:
            opened.queue.close()
            opened.catalog.close()

    app = FastAPI(
        title="Selvage",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
        responses=problems.PROBLEM_RESPONSES,
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.given = state  # None: to be opened
    app.state.allowed_methods = AllowedMethods(module.router for module in ROUTERS)
    problems.install(app)
    app.add_middleware(HeadAsGet)  # the last one added is the first that a request meets
    app.add_middleware(
        BodyLimit,
        max_upload_bytes=settings.max_upload_bytes,
        max_json_bytes=settings.max_json_bytes,
    )
    app.add_middleware(BodyPace, idle_seconds=settings.body_idle_seconds)
    app.add_middleware(Authentication)
    app.add_middleware(Envelope)
    for module in ROUTERS:
        app.include_router(module.router)
    api_document.complete(app)
    return app


def open_state(settings: Settings) -> ServiceState:
    """Open the connections that the settings name."""
    catalog = Catalog(settings.catalog_url)
    return ServiceState(
        settings=settings,
        catalog=catalog,
        objects=KeptObjects.open_kept(settings.store_address, catalog),
        queue=Queue(settings.broker_url),
    )
