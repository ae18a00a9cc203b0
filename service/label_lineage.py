"""Where a label comes from: its image, model, pipeline, versions and seeds, and who shows it."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from api_schemas.labels import LabelJob, LabelLineage
from api_schemas.pipelines import PipelineConfig
from domain.models import reference_of
from storage.catalog import campaigns, jobs
from storage.catalog.tables import (
    JobItemRow,
    JobRow,
    LabelRow,
    ModelVersionRow,
    PipelineVersionRow,
)

MAX_JOBS: Final = 100


def first_file_name(session: Session, row: LabelRow) -> str:
    """Return the name of the label's image in the first job that shows it, else its digest."""
    found = session.execute(_showing(row.id).limit(1)).first()
    return found[0].file_name if found else row.image_digest


def _showing(label_id: str) -> Select[JobItemRow, JobRow]:
    return (
        select(JobItemRow, JobRow)
        .join(JobRow, JobRow.id == JobItemRow.job_id)
        .where(JobItemRow.label_id == label_id, JobRow.deleted_at.is_(None))
        .order_by(JobItemRow.job_id, JobItemRow.position)
    )


def lineage_of(session: Session, row: LabelRow, version: ModelVersionRow) -> LabelLineage:
    """Return everything that the bytes of a label depend on, and the jobs that show it."""
    shown = session.execute(_showing(row.id).limit(MAX_JOBS + 1)).all()
    rounds = campaigns.rounds_of_jobs(session, [job.id for _, job in shown])
    config = PipelineConfig.model_validate(jobs.get_pipeline(session, row.pipeline_digest))
    names = session.execute(
        select(PipelineVersionRow.name, PipelineVersionRow.version)
        .where(PipelineVersionRow.digest == row.pipeline_digest)
        .order_by(PipelineVersionRow.name, PipelineVersionRow.version)
        .limit(MAX_JOBS)
    )
    return LabelLineage(
        label=row.id,
        digest=row.digest,
        image_digest=row.image_digest,
        model=reference_of(version),
        model_digest=version.digest,
        model_deleted=version.deleted_at is not None,
        origin=row.origin,
        corrected_from=row.lineage.get("corrected_from"),
        rectified=row.lineage.get("rectified"),
        region_model=row.lineage.get("region_model"),
        kept_label=row.lineage.get("kept_label"),
        pipeline_digest=row.pipeline_digest,
        pipeline=config,
        pipeline_names=[f"{name.name}@{name.version}" for name in names],
        stage_versions=row.lineage.get("algorithm_versions", {}),
        pilot_fit=row.lineage.get("pilot_fit"),
        job_fit=row.lineage.get("job_fit"),
        precision=row.lineage.get("precision"),
        seed=row.lineage.get("seed"),
        window_px=row.lineage.get("window_px"),
        notes=row.lineage.get("notes", []),
        jobs=[
            LabelJob(
                job=job.id,
                type=job.type,
                status=job.status,
                position=item.position,
                external_id=item.external_id,
                campaign=rounds.get(job.id, (None, None))[0],
                round=rounds.get(job.id, (None, None))[1],
            )
            for item, job in shown[:MAX_JOBS]
        ],
        more_jobs=len(shown) > MAX_JOBS,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        links={
            "label": f"/v1/labels/{row.id}",
            "image": f"/v1/images/{row.image_digest}",
            "reviews": f"/v1/labels/{row.id}/reviews",
            "model": f"/v1/models/{version.model_name}/versions/{version.version}",
        },
    )
