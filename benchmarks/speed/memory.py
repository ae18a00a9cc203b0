"""Whether a label worker grows with the number of images that it has seen."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console

from benchmarks.speed.images import scene_files, variant_files
from benchmarks.speed.running import MODEL, RunningService, running_service

GOAL_GROWTH: Final = 0.05
SOURCES: Final = 24
SAMPLES: Final = 5
SAMPLE_SECONDS: Final = 0.2


@dataclass(frozen=True)
class MemoryPlan:
    """How much to label.

    Attributes:
        first: images before the first look.
        images: images before the last look.
        job_images: images of each job in between; memory is noted after every one.
        size_hw: height and width of the images in pixels.
    """

    first: int
    images: int
    job_images: int
    size_hw: tuple[int, int]


def measure(cache: Path, plan: MemoryPlan, threads: int, console: Console) -> dict[str, Any]:
    """Label, look, label more, look again, with the default pipeline.

    Memory is the resident set of the worker's process while it rests after a job.
    """
    curve: list[dict[str, int]] = []
    with (
        tempfile.TemporaryDirectory(prefix="selvage-images-") as name,
        running_service(threads) as service,
    ):
        sources = scene_files(cache, SOURCES, plan.size_hw)
        files = variant_files(sources, Path(name), plan.images)
        done = 0
        worker = None
        for mark in [*range(plan.first, plan.images, plan.job_images), plan.images]:
            _label(service, files[done:mark])
            done = mark
            worker = worker or service.worker_process()
            curve.append({"images": mark, "rss_bytes": _resting_bytes(worker)})
            console.print(f"{mark} images: {curve[-1]['rss_bytes'] / 2**20:.1f} MiB", style="dim")
    return summary(curve, plan.first)


def summary(curve: list[dict[str, int]], first: int) -> dict[str, Any]:
    """Growth from `first` images to the last point of the curve, as a share."""
    before = next(point["rss_bytes"] for point in curve if point["images"] == first)
    after = curve[-1]["rss_bytes"]
    growth = after / before - 1
    return {
        "first_images": first,
        "first_rss_bytes": before,
        "last_images": curve[-1]["images"],
        "last_rss_bytes": after,
        "growth": growth,
        "goal_growth": GOAL_GROWTH,
        "reached": growth <= GOAL_GROWTH,
        "curve": curve,
    }


def _label(service: RunningService, files: list[Path]) -> None:
    service.finish(service.client.pseudo_labels(list(files), model=MODEL).job.id)


def _resting_bytes(process: psutil.Process) -> int:
    samples = []
    for _ in range(SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        samples.append(process.memory_info().rss)
    return int(statistics.median(samples))
