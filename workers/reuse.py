"""Which labels a job would make again, told by their digests. Imports no torch."""

from typing import Any

from api_schemas.pipelines import PipelineConfig as WireConfig
from domain import region_models
from models.config import ALGORITHM_VERSIONS
from storage.catalog.tables import JobRow, LabelRow, ModelVersionRow
from workers.identity import Recipe, early_digest_of


def _region_model_digest(job: JobRow) -> str | None:
    used = region_models.pinned(job)
    if used is None:
        return None
    if used.digest is not None:
        return used.digest
    from models.region_models import built_in_digest

    return built_in_digest(used.reference)


def _kept_digests(label: LabelRow, job: JobRow) -> dict[str, str]:
    """Return what the label was refined from, if the job starts from the same labels."""
    kept = label.lineage.get("kept_label")
    if kept is None or "initial_labels" not in job.params:
        return {}
    return {label.image_digest: kept}


class LabelReuse:
    """Implements `domain.refinement.LabelIdentity`."""

    def is_current(self, label: LabelRow, stage: str) -> bool:
        """Whether this stage has the version that made the label."""
        versions: dict[str, Any] = label.lineage.get("algorithm_versions", {})
        return stage in versions and versions[stage] == ALGORITHM_VERSIONS.get(stage)

    def is_same(
        self, label: LabelRow, job: JobRow, config: WireConfig, version: ModelVersionRow
    ) -> bool:
        """Whether a worker of the same precision would give the label the same digest.

        Labels of a job-wide correction depend on the other images of their job, so they are
        never the same beforehand.
        """
        if config.needs_job_fit:
            return False
        versions = label.lineage.get("algorithm_versions", {})
        if not all(self.is_current(label, stage) for stage in versions):
            return False
        recipe = Recipe(
            pipeline_digest=job.pipeline_digest or "",
            early_digest=early_digest_of(config),
            model_digest=version.digest,
            pilot_fit_digest=job.pilot_fit_digest,
            algorithm_versions=versions,
            precision=label.lineage.get("precision", ""),
            region_model_digest=_region_model_digest(job),
            kept_digests=_kept_digests(label, job),
        )
        return recipe.label_digest(label.image_digest) == label.digest
