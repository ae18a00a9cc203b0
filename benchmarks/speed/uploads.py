"""How fast images come in through the API, and whether its memory stays flat meanwhile."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from selvage_client import Selvage

from benchmarks.speed.figures import spread
from benchmarks.speed.running import cpu_seconds
from ops.announcement import read_announcement
from ops.embedded import embedded_service

GOAL_IMAGES_PER_SECOND: Final = 150.0
GOAL_GROWTH_BYTES: Final = 64 << 20
SIDE_PX: Final = 512
BASES: Final = 16
WARM_UP_IMAGES: Final = 50
LOOK_SECONDS: Final = 0.02
_COMMENT: Final = b"\xff\xfe"
_START: Final = b"\xff\xd8"


@dataclass
class Watch:
    """Memory of a process while it works."""

    before_bytes: int
    peak_bytes: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


def measure(images: int, image_bytes: int, repeats: int, console: Console) -> dict[str, Any]:
    """POST so many new JPEGs in one request to `/v1/image-sets`, a few times over.

    The client sends from disk, on the same cores.
    """
    runs: list[dict[str, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="selvage-uploads-") as name,
        embedded_service(Path(name) / "data", SELVAGE_WORKERS="0") as url,
        Selvage(url) as client,
    ):
        process = _api_process(Path(name) / "data")
        bases = [base_jpeg(seed, image_bytes) for seed in range(BASES)]
        for run in range(repeats + 1):
            count = images if run else WARM_UP_IMAGES
            folder = Path(name) / f"run{run}"
            write_jpegs(bases, folder, count, run, image_bytes)
            row = _upload(client, process, folder, count)
            if run:
                runs.append(row)
                console.print(f"{row['images_per_second']:.0f} images/s", style="dim")
    return summary(runs, images, image_bytes)


def summary(runs: list[dict[str, float]], images: int, image_bytes: int) -> dict[str, Any]:
    """Spread of the rates, and the largest growth of the API's memory in any run."""
    rate = spread([run["images_per_second"] for run in runs])
    growth = int(max(run["peak_bytes"] - run["before_bytes"] for run in runs))
    return {
        "images": images,
        "image_bytes": image_bytes,
        "images_per_second": rate,
        "api_cpu_seconds": spread([run["api_cpu_seconds"] for run in runs]),
        "goal_images_per_second": GOAL_IMAGES_PER_SECOND,
        "growth_bytes": growth,
        "goal_growth_bytes": GOAL_GROWTH_BYTES,
        "reached": rate["median"] >= GOAL_IMAGES_PER_SECOND,
        "memory_reached": growth <= GOAL_GROWTH_BYTES,
        "runs": runs,
    }


def base_jpeg(seed: int, image_bytes: int) -> bytes:
    """A JPEG a little below the wanted size: smooth colours under as much noise as fits."""
    noise = np.random.default_rng(seed).normal(size=(SIDE_PX, SIDE_PX, 3))
    best = b""
    with tempfile.TemporaryFile() as file:
        for strength in range(2, 80, 2):
            pixels = np.clip(128 + strength * noise, 0, 255).astype(np.uint8)
            file.seek(0)
            file.truncate()
            Image.fromarray(pixels).save(file, "JPEG", quality=75)
            if best and file.tell() > image_bytes - 64:
                break
            file.seek(0)
            best = file.read()
    return best


def write_jpegs(bases: list[bytes], folder: Path, count: int, run: int, image_bytes: int) -> None:
    """Write JPEGs of the wanted size of which no two are alike: a comment tells them apart."""
    folder.mkdir()
    for number in range(count):
        base = bases[number % len(bases)]
        comment = b"%08d-%08d" % (run, number)
        length = max(len(comment), min(60_000, image_bytes - len(base) - 4))
        segment = _COMMENT + (length + 2).to_bytes(2, "big") + comment.ljust(length)
        (folder / f"{number:06d}.jpg").write_bytes(_START + segment + base[2:])


def _upload(client: Selvage, process: psutil.Process, folder: Path, count: int) -> dict[str, float]:
    cpu_before = cpu_seconds(process)
    with _watched(process) as watch:
        began = time.perf_counter()
        report = client.create_image_set(folder)
        seconds = time.perf_counter() - began
    assert report.counts.accepted == count, report.counts
    return {
        "images_per_second": count / seconds,
        "seconds": seconds,
        "api_cpu_seconds": cpu_seconds(process) - cpu_before,
        "before_bytes": watch.before_bytes,
        "peak_bytes": watch.peak_bytes,
    }


@contextmanager
def _watched(process: psutil.Process) -> Iterator[Watch]:
    watch = Watch(process.memory_info().rss)

    def look() -> None:
        while not watch.stop.wait(LOOK_SECONDS):
            watch.peak_bytes = max(watch.peak_bytes, process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        thread.join()
        watch.peak_bytes = max(watch.peak_bytes, process.memory_info().rss)


def _api_process(data_dir: Path) -> psutil.Process:
    announcement = read_announcement(data_dir)
    assert announcement is not None
    for child in psutil.Process(announcement.pid).children(recursive=True):
        if "service" in child.cmdline():
            return child
    raise RuntimeError("the service has no API process")
