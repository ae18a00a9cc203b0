"""What a label worker has at hand beside its connections: loaded models, kept predictions."""

from dataclasses import dataclass, field

from domain.device_names import device_id, machine_name
from domain.settings import Settings
from workers.connectivity_stage import ConnectivityStage
from workers.device_share import DeviceShare
from workers.devices import free_device_memory
from workers.job_wide import JobWideStage
from workers.model_cache import ModelCache
from workers.predictions import PredictionCache
from workers.progress import Progress
from workers.region_model_cache import RegionModelCache
from workers.runtime import Runtime, open_runtime


@dataclass(kw_only=True)
class LabelRuntime(Runtime):
    """One per label worker process."""

    models: ModelCache
    region_models: RegionModelCache = field(init=False)
    predictions: PredictionCache = field(init=False)
    job_wide: JobWideStage = field(default_factory=ConnectivityStage)

    def __post_init__(self) -> None:
        self.region_models = RegionModelCache(self.models)
        self.predictions = PredictionCache(self.settings.prediction_cache_bytes)

    def drop_loaded(self) -> None:
        """Give the memory of the device back."""
        self.models.drop_loaded()
        self.region_models.drop_loaded()
        self.predictions.clear()
        free_device_memory()


def open_label_runtime(
    settings: Settings, worker_id: str, progress: Progress, device: str
) -> LabelRuntime:
    """Open every connection that a label worker needs.

    Raises:
        SchemaMismatch: the catalog has another schema.
    """
    base = open_runtime(settings, worker_id, progress)
    runtime = LabelRuntime(
        settings=settings,
        catalog=base.catalog,
        objects=base.objects,
        queue=base.queue,
        worker_id=worker_id,
        progress=progress,
        models=ModelCache(settings.cache_dir, base.objects, settings.model_cache_max_bytes, device),
    )
    runtime.share = DeviceShare(
        runtime.catalog,
        device_id(machine_name(settings), device),
        worker_id,
        runtime.drop_loaded,
    )
    return runtime
