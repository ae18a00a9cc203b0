"""Labels through a running service, over HTTP alone."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from selvage_client import Selvage

from api_schemas.jobs import Job
from benchmarks.quality.labelling import LabelFolder
from ops.embedded import embedded_service
from ops.processes import environment, module_command


class JobDidNotSucceed(RuntimeError):
    """A job of the benchmark ended otherwise than `succeeded`; half a set is not scored."""

    def __init__(self, job: Job) -> None:
        reason = job.error.detail if job.error else f"{job.counts.failed} images failed"
        super().__init__(f"job {job.id} ended {job.status}: {reason}")


class ServiceLabeller:
    """A `Labeller` over the API; every image folder is uploaded once.

    Args:
        client: a connection to the service.
        environment: variables with which a process finds the service's catalog and objects:
            models enter on the service's machine, as with `selvage models add`.
    """

    def __init__(self, client: Selvage, environment: Mapping[str, str]) -> None:
        self._client = client
        self._environment = dict(environment)
        self._image_sets: dict[tuple[Path, ...], str] = {}

    def register_model(self, folder: Path, name: str) -> str:
        return self._add(folder, name)

    def register_region_model(self, folder: Path, name: str) -> str:
        return self._add(folder, name)

    def adapt(self, model: str, images: Sequence[Path]) -> str:
        # Every image takes part: the statistics then depend on no sample.
        sample_images = min(max(len(images), 2), 4096)
        job = self._client.adapt(self._image_set(images), model, sample_images=sample_images)
        result = self._finish(job, "adapt").result or {}
        return str(result["model"])

    def label_images(
        self, images: Sequence[Path], model: str, pipeline: dict[str, Any], out: LabelFolder
    ) -> None:
        job = self._client.generate(self._image_set(images), model, pipeline=pipeline)
        self._finish(job, f"label with {model}")
        regions = any(pipeline.get(stage) is not None for stage in ("aggregate", "correct"))
        self._client.download(job.id, out.folder, regions=regions)

    def _add(self, folder: Path, name: str) -> str:
        done = subprocess.run(
            module_command("workers.add_model", str(folder), "--name", name, "--json"),
            check=True,
            stdout=subprocess.PIPE,
            env=environment(**self._environment),
        )
        return str(json.loads(done.stdout)["model"])

    def _image_set(self, images: Sequence[Path]) -> str:
        key = tuple(images)
        if key not in self._image_sets:
            report = self._client.create_image_set(list(images))
            if report.counts.rejected:
                raise ValueError(f"the service rejected {report.counts.rejected} images")
            self._image_sets[key] = report.id
        return self._image_sets[key]

    def _finish(self, job: Job, what: str) -> Job:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} images/s, left"),
            TimeRemainingColumn(),
        ) as bar:
            task = bar.add_task(what, total=job.counts.total, rate=0.0)
            for seen in self._client.progress(job.id):
                job = seen
                done = job.counts.total - job.counts.queued - job.counts.running
                rate = job.progress.images_per_second or 0.0
                bar.update(task, completed=done, total=job.counts.total, rate=rate)
        if job.status != "succeeded":
            raise JobDidNotSucceed(job)
        return job


@contextmanager
def service_labeller(url: str | None, data_dir: Path) -> Iterator[ServiceLabeller]:
    """A labeller over the service at `url`, or over one that lives as long as the block.

    Args:
        url: a running service that this machine's `SELVAGE_*` variables describe.
        data_dir: folder of the service that is started otherwise.
    """
    if url is not None:
        with Selvage(url) as client:
            yield ServiceLabeller(client, {})
        return
    with embedded_service(data_dir) as address, Selvage(address) as client:
        yield ServiceLabeller(client, {"SELVAGE_DATA_DIR": str(data_dir.absolute())})
