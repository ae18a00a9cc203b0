"""What a training worker has at hand beside its connections: its devices, the copies on disk."""

import os
from dataclasses import dataclass, field

from domain.device_names import cpu_id, gpu_id, machine_name, visible_gpus
from domain.settings import Settings
from workers.model_files import ModelFiles
from workers.progress import Progress
from workers.runtime import Runtime, open_runtime
from workers.training.file_cache import FileCache
from workers.training.run_folder import RunFolder


@dataclass(kw_only=True)
class TrainingRuntime(Runtime):
    """One per training worker process.

    Attributes:
        gpus: those on which a training runs; none means the processors of the machine.
    """

    gpus: tuple[str, ...] = ()
    files: FileCache = field(init=False)
    models: ModelFiles = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.models = ModelFiles(settings.cache_dir, self.objects, settings.model_cache_max_bytes)
        self.files = FileCache(
            settings.trainings_dir / "files", self.objects, settings.training_cache_max_bytes
        )

    @property
    def device_ids(self) -> list[str]:
        """The devices that a training must have, in the order in which everybody takes them."""
        machine = machine_name(self.settings)
        return sorted(gpu_id(machine, gpu) for gpu in self.gpus) or [cpu_id(machine)]

    @property
    def threads(self) -> int:
        return self.settings.training_threads or max(1, os.cpu_count() or 1)

    def run_folder(self, job_id: str) -> RunFolder:
        return RunFolder(self.settings.trainings_dir / "runs" / job_id)


def chosen_gpus(settings: Settings) -> tuple[str, ...]:
    """Return the GPUs that this process was given; it does not look for others.

    Whoever starts it names them in `CUDA_VISIBLE_DEVICES`, as `selvage up` and `selvage worker
    training --gpus` do: this process has no torch to ask.
    """
    return () if settings.device == "cpu" else tuple(visible_gpus() or ())


def open_training_runtime(
    settings: Settings, worker_id: str, progress: Progress
) -> TrainingRuntime:
    """Open every connection that a training worker needs.

    Raises:
        SchemaMismatch: the catalog has another schema.
    """
    base = open_runtime(settings, worker_id, progress)
    return TrainingRuntime(
        settings=settings,
        catalog=base.catalog,
        objects=base.objects,
        queue=base.queue,
        worker_id=worker_id,
        progress=progress,
        gpus=chosen_gpus(settings),
    )
