"""Figures of the API's requests: by route template, never by what a client wrote."""

from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Scope

from domain.metrics import REGISTRY, SECONDS_BUCKETS

NO_ROUTE: Final = "none"
OTHER_METHOD: Final = "other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS: Final = Counter(
    "selvage_http_requests",
    "Requests that were answered",
    ["method", "route", "status"],
    registry=REGISTRY,
)
SECONDS: Final = Histogram(
    "selvage_http_request_seconds",
    "Time to the end of an answer; of an event stream, to its beginning",
    ["method", "route"],
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
WATCHING: Final = Gauge(
    "selvage_http_watching",
    "Event streams and waits that are open in this process",
    registry=REGISTRY,
)


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request; one name for all that none took."""
    route: Any = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or NO_ROUTE)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    method = method if method in METHODS else OTHER_METHOD
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)
