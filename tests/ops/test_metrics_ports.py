"""Each worker that `up` starts has a port of its own for Prometheus, or none has."""

from typing import Any

from domain.settings import Settings
from ops.up import light_worker_processes, training_worker_processes, worker_processes


def ports(**changes: Any) -> list[str | None]:
    settings = Settings(device="cpu", workers=2, light_workers=2, **changes)
    specs = [
        *worker_processes(settings, {}, 0),
        *light_worker_processes(settings, {}, 0),
        *training_worker_processes(settings, {}, 0),
    ]
    return [(spec.env or {}).get("SELVAGE_WORKER_METRICS_PORT") for spec in specs]


def test_one_after_the_other() -> None:
    assert ports(worker_metrics_port=9100) == ["9100", "9101", "9102", "9103", "9104"]


def test_off() -> None:
    assert ports() == [None] * 5
