"""What a chunk of labelling needs before its first image: model, pipeline, fits, digests."""

import json
from dataclasses import dataclass
from typing import Any

from api_schemas.labels import RegionModelUse
from api_schemas.pipelines import PipelineConfig as WireConfig
from domain import region_models
from domain.leases import ClaimedChunk
from domain.planning import pipeline_of
from models.config import PipelineConfig
from models.pipeline import LabelPipeline
from models.promptable.base import RegionModel
from models.selection import PilotFit
from storage.catalog.annotations import keys_by_digest
from storage.catalog.models import get_version
from storage.catalog.tables import ModelVersionRow
from storage.objects import fit_key
from storage.units import name_of
from workers.identity import Recipe, canonical_digest, early_digest_of
from workers.job_wide import JobWideStage
from workers.label_runtime import LabelRuntime

NOT_OF_THE_LABEL_PATH = ("pilot_images", "seed")


@dataclass(frozen=True)
class LabelContext:
    """The label path of one job, loaded."""

    pipeline: LabelPipeline
    region_model: RegionModel | None
    region_model_use: RegionModelUse | None
    recipe: Recipe
    version: ModelVersionRow
    palette: list[tuple[int, int, int]]
    job_wide: JobWideStage | None
    seed: int
    pipeline_digest: str | None
    device_type: str
    predict_digest: str

    @property
    def looks_at_regions(self) -> bool:
        """Whether there are stages that need the image again, after its prediction."""
        config = self.pipeline.config
        return config.aggregate is not None or config.correct is not None

    def prediction_key(self, image_digest: str) -> tuple[str, str]:
        """Under which the prediction of an image is kept between pilot and pass 1."""
        return self.predict_digest, image_digest


def label_config(config: WireConfig) -> PipelineConfig:
    """Translate the wire's configuration to that of `models`."""
    document = config.model_dump(mode="json", exclude=set(NOT_OF_THE_LABEL_PATH))
    return PipelineConfig.from_dict(document)


def version_of(runtime: LabelRuntime, claimed: ClaimedChunk) -> ModelVersionRow:
    """Return the model version of a job.

    Raises:
        LookupError: it is gone.
    """
    with runtime.catalog.read() as session:
        version = get_version(session, claimed.job.model_version_id or "")
    if version is None:
        raise LookupError(f"the model version of job {claimed.job.id} is gone")
    return version


def load_context(runtime: LabelRuntime, claimed: ClaimedChunk) -> LabelContext:
    """Load the models (told to the parent, since it may take long) and the fits of a job."""
    version = version_of(runtime, claimed)
    with runtime.catalog.read() as session:
        wire = pipeline_of(session, claimed.job)
    if not runtime.models.is_loaded(version):
        runtime.progress.tick("loading")
    model = runtime.models.load(version)
    region_model, used = _region_model(runtime, claimed)
    runtime.progress.tick("working")
    config = label_config(wire)
    job_wide = None
    if wire.needs_job_fit:
        job_wide = runtime.job_wide
    pilot_digest = claimed.job.pilot_fit_digest
    pipeline = LabelPipeline(
        model, config, _pilot_fit(runtime, pilot_digest), region_model=region_model
    )
    return LabelContext(
        pipeline=pipeline,
        region_model=region_model,
        region_model_use=used,
        recipe=Recipe(
            pipeline_digest=claimed.job.pipeline_digest or "",
            early_digest=early_digest_of(wire),
            model_digest=version.digest,
            pilot_fit_digest=pilot_digest,
            algorithm_versions=_versions(config, job_wide),
            precision=pipeline.precision,
            region_model_digest=None if used is None else used.digest,
            kept_digests=_kept_digests(runtime, claimed),
        ),
        version=version,
        palette=[tuple(c["color"]) for c in version.ontology["classes"]],
        job_wide=job_wide,
        seed=wire.seed,
        pipeline_digest=claimed.job.pipeline_digest,
        device_type=model.device.type,
        predict_digest=canonical_digest(
            {
                "model": version.digest,
                "predict": config.predict.to_dict(),
                "rectify": None if config.rectify is None else config.rectify.to_dict(),
                "with_detail": config.needs_detail,  # which regions go by
            }
        ),
    )


def _kept_digests(runtime: LabelRuntime, claimed: ClaimedChunk) -> dict[str, str]:
    """Return image digest → digest of the label that it comes with, for a chunk's images."""
    annotation_set = claimed.job.params.get("initial_labels")
    if annotation_set is None:
        return {}
    images = [item.image_digest for item in claimed.items if item.image_digest is not None]
    with runtime.catalog.read() as session:
        keys = keys_by_digest(session, annotation_set, images)
    return {image: name_of(key) for image, key in keys.items()}


def _region_model(
    runtime: LabelRuntime, claimed: ClaimedChunk
) -> tuple[RegionModel | None, RegionModelUse | None]:
    """Return the region model that a job was pinned to, and what labels tell about it."""
    pinned = region_models.pinned(claimed.job)
    if pinned is None:
        return None, None
    if pinned.version_id is None:
        from models.region_models import built_in_digest

        used = RegionModelUse(reference=pinned.reference, digest=built_in_digest(pinned.reference))
        _tick_if_new(runtime, used.digest)
        return runtime.region_models.load_built_in(pinned.reference, used.digest), used
    with runtime.catalog.read() as session:
        version = get_version(session, pinned.version_id)
    if version is None:
        raise LookupError(f"the region model of job {claimed.job.id} is gone")
    _tick_if_new(runtime, version.digest)
    used = RegionModelUse(reference=pinned.reference, digest=version.digest)
    return runtime.region_models.load_version(version), used


def _tick_if_new(runtime: LabelRuntime, digest: str) -> None:
    if not runtime.region_models.is_loaded(digest):
        runtime.progress.tick("loading")


def _versions(config: PipelineConfig, job_wide: JobWideStage | None) -> dict[str, int]:
    versions = dict(config.algorithm_versions)
    if job_wide is not None:
        versions["correct"] = job_wide.version
    return versions


def _pilot_fit(runtime: LabelRuntime, digest: str | None) -> PilotFit | None:
    if digest is None:
        return None
    return PilotFit.from_dict(read_fit(runtime, "pilot", digest))


def read_fit(runtime: LabelRuntime, kind: str, digest: str) -> dict[str, Any]:
    """Return a stored fit."""
    document: dict[str, Any] = json.loads(runtime.objects.get(fit_key(kind, digest)))
    return document
