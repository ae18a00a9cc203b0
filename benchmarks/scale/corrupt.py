"""A job of ten thousand images of which one in a hundred is broken, through the running service."""

import io
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from rich.console import Console
from selvage_client import Selvage

from benchmarks.speed.running import MODEL, running_service

BROKEN_EVERY: Final = 100
SIZE_HW: Final = (48, 64)
LOOK_SECONDS: Final = 2.0


def write_files(folder: Path, images: int) -> list[str]:
    """Write small distinct JPEGs of which every hundredth ends too early; returns their names."""
    random = np.random.default_rng(0)
    broken = []
    for number in range(images):
        buffer = io.BytesIO()
        pixels = random.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
        data = buffer.getvalue()
        name = f"{number:05d}.jpg"
        if number % BROKEN_EVERY == BROKEN_EVERY // 2:
            data = data[: len(data) // 2]
            broken.append(name)
        (folder / name).write_bytes(data)
    return broken


def measure(folder: Path, images: int, threads: int, console: Console) -> dict[str, Any]:
    """Label them all, and compare the reasons with what was broken."""
    folder.mkdir(parents=True, exist_ok=True)
    broken = write_files(folder, images)
    with running_service(threads) as service:
        client = service.client
        started = time.perf_counter()
        created = client.pseudo_labels(folder, model=MODEL)
        posted_seconds = time.perf_counter() - started
        job = created.job
        while not job.done:
            time.sleep(LOOK_SECONDS)
            job = client.job(job.id)
            console.print(f"{job.progress.fraction:.0%}", style="dim")
        seconds = time.perf_counter() - started
        reasons = reasons_of(client, job.id)
    good = images - len(broken)
    whole = job.counts.succeeded == good and set(reasons) == set(broken) and all(reasons.values())
    return {
        "images": images,
        "broken": len(broken),
        "status": job.status,
        "counts": job.counts.model_dump(),
        "reasons": len(reasons),
        "distinct_reasons": sorted(set(reasons.values())),
        "posted_seconds": posted_seconds,
        "seconds": seconds,
        "reached": job.status == "partial" and whole,
    }


def reasons_of(client: Selvage, job_id: str) -> dict[str, str]:
    """External id → code of the problem, of every image without a label."""
    found = {}
    for status in ("failed", "skipped"):
        for item in client.items(job_id, status=status):
            found[item.external_id] = item.error.code if item.error else ""
    return found
