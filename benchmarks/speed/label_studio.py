"""How long Label Studio waits for the ML backend while the only worker is busy."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from api_schemas.jobs import Job
from benchmarks.speed.figures import percentile
from benchmarks.speed.images import scene_files, variant_files
from benchmarks.speed.running import MODEL, RunningService, running_service

TASKS: Final = 10
BUSY_IMAGES: Final = 400
QUESTIONS: Final = 100
PREDICTIONS: Final = 20
GOAL_SHORT_SECONDS: Final = 0.2
GOAL_PREDICT_SECONDS: Final = 2.0


class WorkerNotBusy(RuntimeError):
    """The job that was to keep the worker busy was over before all questions were answered."""


def measure(cache: Path, threads: int, console: Console) -> dict[str, Any]:
    """Ask `/health`, `/setup` and `/predict` over HTTP beside a job that is under way."""
    sources = scene_files(cache, TASKS)
    with running_service(threads) as service, tempfile.TemporaryDirectory() as name:
        job = service.finish(service.client.pseudo_labels(sources, model=MODEL).job.id)
        base = service.client.integrations.create("measured", str(job.image_set), MODEL)
        busy_files = variant_files(sources, Path(name), BUSY_IMAGES)
        busy = service.client.pseudo_labels(busy_files, model=MODEL).job
        while service.client.job(busy.id).counts.succeeded == 0:
            time.sleep(0.1)
        console.print("the worker is busy", style="dim")
        found = _asked(service, base.links["label_studio"], job, [file.name for file in sources])
        if service.client.job(busy.id).done:
            raise WorkerNotBusy("take more than BUSY_IMAGES images")
        service.client.cancel(busy.id)
    return found


def _asked(service: RunningService, path: str, job: Job, external_ids: list[str]) -> dict[str, Any]:
    name, _, version = str(job.model).partition(":")
    config = service.client.ontologies.label_studio_config_of_model(name, int(version))
    tasks = [
        {"id": number, "data": {"image": f"s3://bucket/{external_id}"}}
        for number, external_id in enumerate(external_ids)
    ]
    predict = {"tasks": tasks, "label_config": config}
    with httpx.Client(base_url=str(service.client.url) + path, timeout=30) as client:
        answer = client.post("/predict", json=predict).raise_for_status().json()
        empty = sum(1 for one in answer["results"] if not one["result"])
        if empty:
            raise RuntimeError(f"{empty} of {TASKS} tasks have no prediction")
        health = timed(lambda: client.get("/health"), QUESTIONS)
        setup = timed(lambda: client.post("/setup", json={"schema": config}), QUESTIONS)
        predicted = timed(lambda: client.post("/predict", json=predict), PREDICTIONS)
    return summary(health, setup, predicted)


def timed(ask: Callable[[], httpx.Response], times: int) -> list[float]:
    """Return the seconds of each answer.

    Raises:
        httpx.HTTPStatusError: an answer is an error.
    """
    found = []
    for _ in range(times):
        started = time.perf_counter()
        ask().raise_for_status()
        found.append(time.perf_counter() - started)
    return found


def summary(health: list[float], setup: list[float], predict: list[float]) -> dict[str, Any]:
    """Median and slowest of the answers, and whether the slowest is within its goal."""
    return {
        "tasks": TASKS,
        "health": _figures(health),
        "setup": _figures(setup),
        "predict": _figures(predict),
        "goal_short_seconds": GOAL_SHORT_SECONDS,
        "goal_predict_seconds": GOAL_PREDICT_SECONDS,
        "reached": max(*health, *setup) <= GOAL_SHORT_SECONDS
        and max(predict) <= GOAL_PREDICT_SECONDS,
    }


def _figures(seconds: list[float]) -> dict[str, Any]:
    return {
        "p50_seconds": percentile(seconds, 0.5),
        "slowest_seconds": max(seconds),
        "answers": len(seconds),
    }
