"""From rows of the catalog to the documents of the wire."""

import time
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy.orm import Session

from api_schemas.annotations import AnnotationSet
from api_schemas.image_sets import ImageSet, ImageSetCounts, ImageSetEntry
from api_schemas.jobs import FailurePolicy, ItemCounts, Job, JobItem, Progress, StageCounts
from api_schemas.labels import Label
from api_schemas.models import Model, ModelVersion
from api_schemas.ontologies import Ontology
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import Problem
from api_schemas.webhooks import JobWebhook
from domain import region_models
from domain.job_states import is_done
from domain.models import reference_of
from storage.catalog import chunks, jobs, models
from storage.catalog.tables import (
    AnnotationSetRow,
    ImageRow,
    ImageSetEntryRow,
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ModelRow,
    ModelVersionRow,
)
from storage.remote.urls import shown

JOB_WIDE_STAGES = ("correct",)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _optional_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)


def _problem(document: dict[str, Any] | None) -> Problem | None:
    return None if document is None else Problem.model_validate(document)


def image_set(row: ImageSetRow) -> ImageSet:
    return ImageSet(**_image_set_fields(row))


def _image_set_fields(row: ImageSetRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "status": row.status,
        "counts": ImageSetCounts(
            total=row.accepted + row.duplicate + row.rejected,
            accepted=row.accepted,
            duplicate=row.duplicate,
            rejected=row.rejected,
        ),
        "source": row.source,
        "problem": _problem(row.problem),
        "created_at": _time(row.created_at),
        "created_by": row.created_by,
        "links": {
            "self": f"/v1/image-sets/{row.id}",
            "images": f"/v1/image-sets/{row.id}/images",
            "annotations": f"/v1/image-sets/{row.id}/annotations",
        },
    }


def image_set_report(row: ImageSetRow, files: list[ImageSetEntry]) -> dict[str, Any]:
    """Fields of an `ImageSetReport`."""
    return {**_image_set_fields(row), "files": files}


def image_set_entry(row: ImageSetEntryRow, image: ImageRow | None) -> ImageSetEntry:
    return ImageSetEntry(
        file_name=row.file_name,
        external_id=row.external_id,
        status=row.status,
        image_digest=row.image_digest,
        width_px=image.width_px if image else None,
        height_px=image.height_px if image else None,
        duplicate_of=row.duplicate_of,
        note=row.note,
        problem=_problem(row.problem),
    )


def model(row: ModelRow, versions: int) -> Model:
    return Model(
        name=row.name,
        current_version=row.current_version,
        versions=versions,
        created_at=_time(row.created_at),
        links={"self": f"/v1/models/{row.name}", "versions": f"/v1/models/{row.name}/versions"},
    )


def model_version(row: ModelVersionRow) -> ModelVersion:
    return ModelVersion(
        model=row.model_name,
        version=row.version,
        reference=reference_of(row),
        status=row.status,
        kind=row.kind or None,
        digest=row.digest or None,
        ontology=Ontology.model_validate(row.ontology) if row.ontology else None,
        size_bytes=row.size_bytes,
        facts=row.facts,
        provenance=row.provenance,
        problem=_problem(row.problem),
        created_at=_time(row.created_at),
        created_by=row.created_by,
    )


def annotation_set(row: AnnotationSetRow) -> AnnotationSet:
    return AnnotationSet(
        id=row.id,
        image_set=row.image_set_id,
        purpose=row.purpose,
        ontology=Ontology.model_validate(row.ontology),
        accepted=row.accepted,
        rejected=row.rejected,
        created_at=_time(row.created_at),
        created_by=row.created_by,
    )


def job(session: Session, row: JobRow) -> Job:
    """Render a job; looks up the names of its model and pipeline."""
    version = models.get_version(session, row.model_version_id) if row.model_version_id else None
    pipeline = (
        PipelineConfig.model_validate(jobs.get_pipeline(session, row.pipeline_digest))
        if row.pipeline_digest
        else None
    )
    base = f"/v1/jobs/{row.id}"
    refined_from = row.params.get("refined_from")
    region_model = region_models.pinned(row)
    return Job(
        id=row.id,
        type=row.type,
        status=row.status,
        done=is_done(row),
        image_set=row.image_set_id,
        model=reference_of(version) if version else None,
        region_model=region_model.reference if region_model else None,
        pipeline=pipeline,
        pipeline_digest=row.pipeline_digest,
        pipeline_name=row.pipeline_name,
        progress=_progress(session, row),
        counts=ItemCounts(
            total=row.total,
            queued=row.queued,
            running=row.running,
            succeeded=row.succeeded,
            failed=row.failed,
            skipped=row.skipped,
            cancelled=row.cancelled,
        ),
        stages=_stages(row, pipeline),
        priority=row.priority,
        failure_policy=FailurePolicy.model_validate(row.failure_policy),
        metadata=row.job_metadata,
        webhook=_webhook(row),
        retry_of=row.retry_of,
        refined_from=refined_from,
        schedule=row.schedule_id,
        schedule_at=_optional_time(row.schedule_at),
        deadline_at=_optional_time(row.deadline_at),
        created_at=_time(row.created_at),
        created_by=row.created_by,
        started_at=_optional_time(row.started_at),
        finished_at=_optional_time(row.finished_at),
        training=row.training,
        result=row.result if is_done(row) else None,
        error=_problem(row.error),
        links={
            **({"refined_from": f"/v1/jobs/{refined_from}"} if refined_from else {}),
            "self": base,
            "items": f"{base}/items",
            "events": f"{base}/events",
            "results": f"{base}/results",
            "cancel": f"{base}:cancel",
            "retry": f"{base}:retry",
        },
    )


def _webhook(row: JobRow) -> JobWebhook | None:
    """Whom a job tells; of an address without its query, which may be a password."""
    if row.webhook is None:
        return None
    told = {name: value for name, value in row.webhook.items() if name != "endpoint_id"}
    if "url" in told:
        told["url"] = shown(httpx.URL(told["url"]))
    return JobWebhook.model_validate(told)


def _progress(session: Session, row: JobRow) -> Progress:
    over = row.total - row.queued - row.running
    progress = Progress(fraction=over / row.total if row.total else 1.0, step=row.phase)
    if row.training and row.training.get("step") is not None:
        progress.step_fraction = min(1.0, row.training["step"] / row.training["steps"])
        progress.images_per_second = row.training.get("images_per_second")
    if row.phase == "pilot":
        chunk_count = max(1, chunks.count_all(session, row.id, "pilot"))
        left = chunks.count_open(session, row.id, "pilot")
        progress.step_fraction = 1 - left / chunk_count
    if row.started_at is None:
        return progress
    seconds = max(1e-3, (row.finished_at or time.time()) - row.started_at)
    rate = (row.succeeded + row.failed) / seconds
    if rate > 0:
        progress.images_per_second = round(rate, 3)
        progress.eta_seconds = None if is_done(row) else (row.queued + row.running) / rate
    return progress


def _stages(row: JobRow, pipeline: PipelineConfig | None) -> list[StageCounts]:
    """Counts per stage: an image that fails at one is done with those before it.

    A stage before the join is done as soon as its evidence is there.
    """
    if pipeline is None:
        return []
    counts: list[StageCounts] = []
    done, before_join = row.succeeded, False
    for name in reversed(pipeline.stages):
        if not before_join and name not in JOB_WIDE_STAGES:
            done, before_join = max(row.evidence_ready, done), True
        failed = row.stage_failed.get(name, 0)
        counts.append(StageCounts(name=name, done=done, failed=failed))
        done += failed
    return counts[::-1]


def job_item(row: JobItemRow) -> JobItem:
    return JobItem(
        id=f"{row.job_id}.{row.position}",
        position=row.position,
        external_id=row.external_id,
        file_name=row.file_name,
        image_digest=row.image_digest,
        status=row.status,
        attempts=row.attempts,
        label_id=row.label_id,
        quality=row.quality,
        stage_seconds=row.stage_seconds,
        error=_problem(row.error),
    )


def label(row: LabelRow, version: ModelVersionRow) -> Label:
    return Label(
        id=row.id,
        digest=row.digest,
        origin=row.origin,
        image_digest=row.image_digest,
        model=reference_of(version),
        pipeline_digest=row.pipeline_digest,
        width_px=row.width_px,
        height_px=row.height_px,
        coverage=row.coverage,
        quality=row.quality,
        calibrated=row.calibrated,
        class_pixels=row.class_pixels,
        ontology=Ontology.model_validate(version.ontology),
        lineage=row.lineage,
        artifacts={name: f"/v1/labels/{row.id}/artifacts/{name}" for name in row.artifacts},
        created_at=_time(row.created_at),
    )
