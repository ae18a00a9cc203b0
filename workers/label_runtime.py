"""What a label worker has at hand beside its connections: loaded models, kept predictions."""

from dataclasses import dataclass, field

from domain.settings import Settings
from workers.connectivity_stage import ConnectivityStage
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


def open_label_runtime(
    settings: Settings, worker_id: str, progress: Progress, device: str
) -> LabelRuntime:
    """Open every connection that a label worker needs.

    Raises:
        SchemaMismatch: the catalog has another schema.
    """
    base = open_runtime(settings, worker_id, progress)
    return LabelRuntime(
        settings=settings,
        catalog=base.catalog,
        objects=base.objects,
        queue=base.queue,
        worker_id=worker_id,
        progress=progress,
        models=ModelCache(settings.cache_dir, base.objects, settings.model_cache_max_bytes, device),
    )
