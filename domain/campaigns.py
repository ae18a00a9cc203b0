"""Use-cases of campaigns: start, pause, go on, stop, delete. `domain.rounds` moves them on."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.campaigns import CampaignCreate
from api_schemas.ids import new_id
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import (
    FieldProblem,
    Gone,
    NotFound,
    OntologyMismatch,
    StateConflict,
    ValidationProblem,
)
from domain import campaign_events, jobs, models
from domain.annotated_jobs import get_set
from domain.campaign_events import is_done
from domain.job_fields import resolve_pipeline
from storage.catalog import campaigns
from storage.catalog import jobs as job_rows
from storage.catalog.annotations import count_annotations
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import LOCAL, AnnotationSetRow, CampaignRow, ModelVersionRow


def get_campaign(session: Session, campaign_id: str, *, lock: bool = False) -> CampaignRow:
    """Return a campaign.

    Raises:
        NotFound: with what to do.
        Gone: it was deleted.
    """
    look = campaigns.lock_campaign if lock else campaigns.get_campaign
    row = look(session, campaign_id)
    if row is None:
        raise NotFound(f"There is no campaign '{campaign_id[:80]}'. List them: GET /v1/campaigns.")
    if row.deleted_at is not None:
        raise Gone(f"Campaign '{campaign_id}' was deleted. List them: GET /v1/campaigns.")
    return row


def create(session: Session, request: CampaignCreate, created_by: str = LOCAL) -> CampaignRow:
    """Store a campaign; the scheduler begins its first round.

    Raises:
        ProblemError: what it names is unknown or not ready, or its classes are not the model's.
    """
    version = models.resolve(session, request.model)
    if version.kind != "bundle":
        raise _wrong(
            "model",
            f"Model '{models.reference_of(version)}' is of kind '{version.kind}'; only bundles can "
            "be trained.",
        )
    target = jobs.get_ready_set(session, request.target)
    if target.accepted == 0:
        raise _wrong("target", f"Image set '{target.id}' has no usable image.")
    pipeline, _ = resolve_pipeline(session, request.pipeline)
    _check_rectifiers(request, pipeline)
    jobs.check_pipeline(session, pipeline, version)
    _check_selection(request, version)
    _check_source(session, request, version)
    _check_reviewed(session, request, version)
    evaluation = _evaluation(session, request, version)
    config = _config_of(request, pipeline, version, evaluation)
    job_rows.add_pipeline(session, pipeline.digest, pipeline.model_dump(mode="json"))
    row = CampaignRow(
        id=new_id("cmp"),
        name=request.name,
        status="running",
        config=config,
        pipeline_digest=pipeline.digest,
        first_version_id=version.id,
        teacher_version_id=version.id,
        round=0,
        event_seq=0,
        created_at=session.scalar(select(db_now())) or 0.0,
        created_by=created_by,
    )
    campaigns.add_campaign(session, row)
    campaign_events.status_changed(row)
    return row


def _config_of(
    request: CampaignCreate,
    pipeline: PipelineConfig,
    version: ModelVersionRow,
    evaluation: AnnotationSetRow | None,
) -> dict[str, Any]:
    return {
        **request.model_dump(mode="json", exclude={"name", "pipeline", "recipe"}),
        "model": models.reference_of(version),
        "pipeline": pipeline.model_dump(mode="json"),
        "recipe": request.recipe.model_dump(mode="json", exclude_unset=True),
        "evaluation_purpose": evaluation.purpose if evaluation else None,
    }


def _check_rectifiers(request: CampaignCreate, pipeline: PipelineConfig) -> None:
    """A trained model carries a rectifier only if the recipe trains one."""
    made = request.recipe.terms.get("rmm", {}).get("weight", 1.0)
    if pipeline.rectify is None or request.rounds == 1 or ("rmm" in request.recipe.terms and made):
        return
    raise _wrong(
        "recipe/terms",
        "The pipeline has the stage 'rectify', so each round's model needs a rectifier, but the "
        "recipe makes none: add the term 'rmm' to it, leave the stage out, or run one round.",
    )


def _check_selection(request: CampaignCreate, version: ModelVersionRow) -> None:
    names = [c["name"] for c in version.ontology["classes"]]
    unknown = [name for name in request.selection.classes or () if name not in names]
    if unknown:
        raise _wrong("selection/classes", f"The model has no class '{unknown[0]}'.")


def _check_source(session: Session, request: CampaignCreate, version: ModelVersionRow) -> None:
    if request.source is None:
        return
    source = get_set(session, request.source.annotations, "source", "Campaigns train on")
    if request.source.image_set not in (None, source.image_set_id):
        raise _wrong(
            "source/image_set",
            f"Annotation set '{source.id}' belongs to image set '{source.image_set_id}'.",
        )
    jobs.get_ready_set(session, source.image_set_id)
    if count_annotations(session, source.id) == 0:
        raise _wrong("source", f"Annotation set '{source.id}' has no labelled image.")
    _check_classes(source, version)


def _check_reviewed(session: Session, request: CampaignCreate, version: ModelVersionRow) -> None:
    if request.reviewed is None:
        return
    reviewed = get_set(session, request.reviewed, "initial", "Campaigns take")
    if reviewed.image_set_id != request.target:
        raise _wrong("reviewed", f"Annotation set '{reviewed.id}' is not of the target images.")
    _check_classes(reviewed, version)


def _evaluation(
    session: Session, request: CampaignCreate, version: ModelVersionRow
) -> AnnotationSetRow | None:
    if request.evaluation is None:
        return None
    purposes = ("evaluation", "validation")
    truth = get_set(session, request.evaluation, purposes, "Campaigns measure with")
    jobs.get_ready_set(session, truth.image_set_id)
    _check_classes(truth, version)
    return truth


def _check_classes(labels: AnnotationSetRow, version: ModelVersionRow) -> None:
    own = [c["name"] for c in labels.ontology["classes"]]
    names = [c["name"] for c in version.ontology["classes"]]
    if own != names:
        raise OntologyMismatch(
            f"The classes of annotation set '{labels.id}' ({', '.join(own)}) are not those of "
            f"model '{models.reference_of(version)}' in the same order ({', '.join(names)}). Map "
            "them to the model's classes and upload the labels again."
        )


def _wrong(pointer: str, detail: str) -> ValidationProblem:
    return ValidationProblem(
        detail, errors=[FieldProblem(pointer=f"/{pointer}", detail="cannot be used")]
    )


def pause(session: Session, campaign_id: str) -> CampaignRow:
    """Begin no further step; a job that is under way goes on. Asking twice does no harm.

    Raises:
        NotFound, Gone: see `get_campaign`.
        StateConflict: it is over, or about to stop.
    """
    return _change(session, campaign_id, "paused", ("running", "paused"), "paused")


def resume(session: Session, campaign_id: str) -> CampaignRow:
    """Go on with the next step.

    Raises:
        NotFound, Gone: see `get_campaign`.
        StateConflict: it is over, or about to stop.
    """
    row = _change(session, campaign_id, "running", ("running", "paused"), "resumed")
    row.next_at = None
    return row


def stop(session: Session, campaign_id: str) -> CampaignRow:
    """End a campaign; its job is cancelled, and what rounds have made stays. Idempotent.

    Raises:
        NotFound, Gone: see `get_campaign`.
    """
    row = get_campaign(session, campaign_id, lock=True)
    _stop(row)
    return row


def _stop(row: CampaignRow) -> None:
    if not is_done(row) and row.status != "stopping":
        row.status, row.next_at = "stopping", None
        campaign_events.status_changed(row)


def _change(
    session: Session, campaign_id: str, status: str, allowed: tuple[str, ...], what: str
) -> CampaignRow:
    row = get_campaign(session, campaign_id, lock=True)
    if row.status not in allowed:
        raise StateConflict(
            f"Campaign '{row.id}' is {row.status} and cannot be {what}. Start another with the "
            "model that it ended with."
        )
    if row.status != status:
        row.status = status
        campaign_events.status_changed(row)
    return row


def delete(catalog: Catalog, campaign_id: str, *, force: bool = False) -> None:
    """Delete a campaign; its models, label sets and jobs stay.

    With `force` one that is not over is stopped, and gone at once for everybody.

    Raises:
        NotFound: unknown campaign.
        StateConflict: it is not over.
    """
    with catalog.write() as session:
        row = campaigns.lock_campaign(session, campaign_id)
        if row is None:
            raise NotFound(
                f"There is no campaign '{campaign_id[:80]}'. List them: GET /v1/campaigns."
            )
        if row.deleted_at is not None:
            return
        if not is_done(row):
            if not force:
                raise StateConflict(
                    f"Campaign '{row.id}' is {row.status}. Stop it first with POST "
                    f"/v1/campaigns/{row.id}:stop, or add ?force=true to do both."
                )
            _stop(row)
        row.deleted_at = session.scalar(select(db_now()))
