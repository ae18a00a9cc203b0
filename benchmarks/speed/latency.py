"""How long one image takes through an idle, warm service."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.speed.bare_loop import BareLoop
from benchmarks.speed.figures import percentile
from benchmarks.speed.images import scene_files
from benchmarks.speed.running import MODEL, MODEL_FOLDER, RunningService, running_service

GOAL_P50_SECONDS: Final = 1.5
REQUESTS: Final = 20
WARM_UP_REQUESTS: Final = 2
LOOK_SECONDS: Final = 0.02
# An idle service: nothing of the last request is under way any more.
REST_SECONDS: Final = 1.0


def measure(cache: Path, threads: int, console: Console) -> dict[str, Any]:
    """POST images one by one, each to its end, and run the same ones through the bare loop."""
    files = scene_files(cache, WARM_UP_REQUESTS + REQUESTS)
    with running_service(threads) as service:
        rows = []
        for file in files:
            time.sleep(REST_SECONDS)
            rows.append(_one_request(service, file))
            console.print(f"{file.name}: {rows[-1]['all']:.3f} s", style="dim")
    with (
        BareLoop(MODEL_FOLDER, threads) as loop,
        tempfile.TemporaryDirectory(prefix="selvage-loop-") as out,
    ):
        own = [loop.label([file], Path(out), {}) for file in files]
    return summary(rows[WARM_UP_REQUESTS:], [row["all"] for row in own[WARM_UP_REQUESTS:]])


def summary(rows: Sequence[dict[str, float]], pipeline_seconds: Sequence[float]) -> dict[str, Any]:
    """Percentiles of the whole and of its parts.

    Args:
        rows: seconds by part of each request, with `all`.
        pipeline_seconds: pilot, label path and encoding of the same images in the bare loop.
    """
    p50 = percentile([row["all"] for row in rows], 0.5)
    return {
        "requests": len(rows),
        "p50_seconds": p50,
        "p95_seconds": percentile([row["all"] for row in rows], 0.95),
        "pipeline_p50_seconds": percentile(pipeline_seconds, 0.5),
        "parts_p50_seconds": {
            part: percentile([row[part] for row in rows], 0.5) for part in rows[0] if part != "all"
        },
        "goal_p50_seconds": GOAL_P50_SECONDS,
        "reached": p50 <= GOAL_P50_SECONDS,
        "runs": [dict(row) for row in rows],
    }


def _one_request(service: RunningService, file: Path) -> dict[str, float]:
    posted = time.perf_counter()
    job = service.client.pseudo_labels([file], model=MODEL).job
    answered = time.perf_counter()
    while not job.done:
        time.sleep(LOOK_SECONDS)
        job = service.client.job(job.id)
    seen = time.perf_counter()
    service.finish(job.id)
    assert job.started_at is not None
    assert job.finished_at is not None
    return {
        "all": seen - posted,
        "post": answered - posted,
        "planning": (job.started_at - job.created_at).total_seconds(),
        "working": (job.finished_at - job.started_at).total_seconds(),
    }
