"""The service that is measured: one worker on the CPU, in a folder that goes afterwards."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from selvage_client import Selvage
from sqlalchemy import select

from api_schemas.jobs import Job
from domain.settings import Settings
from ops.embedded import embedded_service
from ops.processes import environment, module_command
from ops.up import LOG_NAME
from storage.catalog.engine import Catalog
from storage.catalog.tables import WorkerRow

MODEL_FOLDER: Final = Path(__file__).parents[2] / "examples" / "demo_model"
MODEL: Final = "demo"


class JobDidNotSucceed(RuntimeError):
    """A measured job ended otherwise than `succeeded`."""


@dataclass(frozen=True)
class RunningService:
    """A service with the demo model, and a connection to it."""

    client: Selvage
    data_dir: Path

    def finish(self, job_id: str) -> Job:
        """Wait for a job.

        Raises:
            JobDidNotSucceed: it ended otherwise.
        """
        job = self.client.wait(job_id)
        if job.status != "succeeded":
            reason = job.error.detail if job.error else f"{job.counts.failed} images failed"
            raise JobDidNotSucceed(f"job {job.id} ended {job.status}: {reason}")
        return job

    def cpu_seconds(self) -> float:
        """Processor time of all processes of the service so far."""
        supervisor = self.worker_process().parents()[1]
        return sum(map(cpu_seconds, (supervisor, *supervisor.children(recursive=True))))

    def log(self) -> str:
        """The log of all processes so far."""
        return (self.data_dir / LOG_NAME).read_text(encoding="utf-8", errors="replace")

    def worker_process(self) -> psutil.Process:
        """The process of the only label worker."""
        catalog = Catalog(Settings(data_dir=self.data_dir).catalog_url)
        with catalog.read() as session:
            pid = session.scalars(select(WorkerRow.pid).where(WorkerRow.queue == "label")).one()
        catalog.close()
        return psutil.Process(pid)


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process so far, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def running_service(threads: int) -> Iterator[RunningService]:
    """Start a service with one worker of so many torch threads, and register the demo model."""
    with tempfile.TemporaryDirectory(prefix="selvage-speed-") as name:
        data_dir = Path(name)
        variables = {
            "SELVAGE_DEVICE": "cpu",
            "SELVAGE_LOG_FORMAT": "json",
            "SELVAGE_THREADS": str(threads),
            "SELVAGE_WORKERS": "1",
        }
        with embedded_service(data_dir, **variables) as url, Selvage(url) as client:
            _register(data_dir)
            yield RunningService(client, data_dir)


def _register(data_dir: Path) -> None:
    subprocess.run(
        module_command("workers.add_model", str(MODEL_FOLDER), "--name", MODEL, "--json"),
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment(SELVAGE_DATA_DIR=str(data_dir)),
    )
