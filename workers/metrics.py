"""Figures of one worker process, and the port on which Prometheus finds them. No torch."""

import sys
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from domain.leases import Outcome
from domain.metrics import REGISTRY
from domain.settings import Settings

log = structlog.get_logger("workers")

OUT_OF_MEMORY: Final = Counter(
    "selvage_oom",
    "Images for which the memory of the device was not enough",
    ["stage"],
    registry=REGISTRY,
)
LABEL_QUALITY: Final = Histogram(
    "selvage_label_quality",
    "Expected accuracy of the kept pixels of new labels",
    buckets=[n / 20 for n in range(1, 21)],
    registry=REGISTRY,
)
GPU_MEMORY: Final = Gauge(
    "selvage_gpu_mem_bytes", "Memory of the GPU that this worker has taken", registry=REGISTRY
)


def _gpu_memory_bytes() -> float:
    """What torch has taken; 0 where no torch is loaded or no GPU is used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0.0
    return float(torch.cuda.memory_reserved())


GPU_MEMORY.set_function(_gpu_memory_bytes)


def note_quality(outcomes: list[Outcome]) -> None:
    """Note the quality of labels that were made and not found."""
    for outcome in outcomes:
        if outcome.label is not None and outcome.quality is not None:
            LABEL_QUALITY.observe(outcome.quality)


def serve_metrics(settings: Settings) -> None:
    """Listen for Prometheus if there is a port for it; a port that is taken stops no worker."""
    if settings.worker_metrics_port == 0:
        return
    address = (settings.worker_metrics_host, settings.worker_metrics_port)
    try:
        start_http_server(address[1], address[0], registry=REGISTRY)
    except OSError as error:
        log.warning("the port for metrics is taken", port=address[1], error=str(error))
    else:
        log.info("metrics are served", host=address[0], port=address[1])
