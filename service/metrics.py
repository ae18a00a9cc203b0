"""GET /metrics, for Prometheus."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from domain.metrics import REGISTRY
from domain.settings import Settings
from service.catalog_metrics import CatalogMetrics
from service.event_hub import EventHub
from service.http_metrics import WATCHING
from storage.catalog.engine import Catalog

router = APIRouter(tags=["health"])
_EXAMPLE: Final = 'selvage_queue_depth{queue="label"} 5800.0\n'


def catalog_registry(catalog: Catalog, settings: Settings) -> CollectorRegistry:
    """Return the figures of a catalog, apart from those of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CatalogMetrics(catalog, settings))
    return registry


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        }
    },
)
def get_metrics(request: Request) -> Response:
    """Show the figures of this process and, at most some seconds old, those of the catalog."""
    state: Any = request.app.state
    hub: EventHub = state.event_hub
    WATCHING.set(hub.watching)
    text = generate_latest(REGISTRY) + generate_latest(state.catalog_registry)
    return Response(
        text, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
    )
