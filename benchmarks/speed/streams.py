"""What it costs to tell many: event streams of one job, from two API processes."""

import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console

from benchmarks.speed.figures import percentile
from benchmarks.speed.images import scene_files, variant_files
from benchmarks.speed.running import MODEL, RunningService, cpu_seconds, running_service
from benchmarks.speed.sse_clients import Watched, watch_all
from ops.announcement import read_announcement
from ops.ports import find_free
from ops.processes import environment, module_command

GOAL_CORES: Final = 0.5
SIZE_HW: Final = (120, 160)
SOURCES: Final = 20
READY_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Api:
    """One API process."""

    url: str
    process: psutil.Process


def measure(
    cache: Path, clients: int, images: int, threads: int, console: Console
) -> dict[str, Any]:
    """Label images while many clients watch; how much processor time do the API processes take?"""
    sources = scene_files(cache, SOURCES, SIZE_HW)
    with (
        tempfile.TemporaryDirectory(prefix="selvage-streams-") as folder,
        running_service(threads) as service,
        _two_apis(service) as apis,
    ):
        files = variant_files(sources, Path(folder), images)
        image_set = service.client.create_image_set(files)
        job = service.client.generate(image_set.id, MODEL)
        cpu, started = _cpu(apis), time.monotonic()
        watched = watch_all([api.url for api in apis], job.id, clients)
        seconds, used = time.monotonic() - started, _cpu(apis) - cpu
        console.print(f"{clients} clients, {seconds:.1f} s, {used:.2f} s of CPU", style="dim")
        polled = service.finish(job.id).counts.model_dump()
    return summary(watched, polled, used, seconds)


def summary(
    watched: Sequence[Watched], polled: dict[str, int], used_seconds: float, seconds: float
) -> dict[str, Any]:
    """The figures of a run.

    Args:
        watched: what each client saw.
        polled: final counts of the job as GET shows them.
        used_seconds: processor time of the API processes from the first connect to the last end.
        seconds: the same by the clock.
    """
    last = max(w.done_at for w in watched)
    agree = all(w.counts == polled and w.adds_up for w in watched)
    cores = used_seconds / seconds
    return {
        "clients": len(watched),
        "api_processes": 2,
        "images": polled["total"],
        "seconds": seconds,
        "api_cpu_seconds": used_seconds,
        "api_cores": cores,
        "events_sent": sum(sum(w.types.values()) for w in watched),
        "all_clients_agree": agree,
        "done_lag_p95_seconds": percentile(
            [w.done_at - min(x.done_at for x in watched) for w in watched], 0.95
        ),
        "done_lag_highest_seconds": last - min(w.done_at for w in watched),
        "goal_cores": GOAL_CORES,
        "reached": agree and cores <= GOAL_CORES,
    }


def _cpu(apis: Sequence[Api]) -> float:
    return sum(cpu_seconds(api.process) for api in apis)


@contextmanager
def _two_apis(service: RunningService) -> Iterator[list[Api]]:
    """The API of the service and a second one on the same catalog, objects and broker."""
    announced = read_announcement(service.data_dir)
    assert announced is not None
    supervisor = psutil.Process(announced.pid)
    first = next(p for p in supervisor.children() if p.cmdline()[-2:] == ["-m", "service"])
    port = find_free("127.0.0.1")
    process = subprocess.Popen(
        module_command("service"),
        env=environment(
            SELVAGE_DATA_DIR=str(service.data_dir),
            SELVAGE_REDIS_URL=announced.broker_url,
            SELVAGE_PORT=str(port),
            SELVAGE_LOG_FORMAT="json",
        ),
        stderr=subprocess.DEVNULL,
    )
    second = Api(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    try:
        _wait_until_ready(second, process)
        yield [Api(announced.url, first), second]
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(api: Api, process: "subprocess.Popen[bytes]") -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with opener.open(f"{api.url}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"the second API process is not ready (process {os.getpid()})")
