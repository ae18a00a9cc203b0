"""Figures of one process for Prometheus. Labels are names out of closed sets, never ids."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY: Final = CollectorRegistry()
SECONDS_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
)  # fmt: skip

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

IMAGES: Final = Counter(
    "selvage_images",
    "Images that went through a stage in this process",
    ["stage", "outcome"],
    registry=REGISTRY,
)
STAGE_SECONDS: Final = Histogram(
    "selvage_stage_seconds",
    "Time that a stage took for one image",
    ["stage"],
    buckets=SECONDS_BUCKETS,
    registry=REGISTRY,
)
