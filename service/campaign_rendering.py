"""From rows of campaigns to the documents of the wire."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.campaigns import (
    Campaign,
    CampaignProgress,
    CampaignStep,
    GateResult,
    Round,
    Scores,
)
from api_schemas.problems import Problem
from domain import campaign_jobs, events
from domain.campaign_events import is_done
from domain.models import reference_of
from storage.catalog import campaigns, jobs, models
from storage.catalog.tables import CampaignRoundRow, CampaignRow, CampaignStepRow


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _optional_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)


def _problem(document: dict[str, Any] | None) -> Problem | None:
    return None if document is None else Problem.model_validate(document)


def _reference(session: Session, version_id: str) -> str:
    version = models.get_version(session, version_id)
    return reference_of(version) if version else version_id


def campaign(session: Session, row: CampaignRow) -> Campaign:
    """Return the document of a campaign."""
    base = f"/v1/campaigns/{row.id}"
    source = row.config["source"]
    return Campaign(
        id=row.id,
        name=row.name,
        status=row.status,
        done=is_done(row),
        setting=row.config["setting"],
        model=_reference(session, row.first_version_id),
        teacher=_reference(session, row.teacher_version_id),
        target=row.config["target"],
        source=source["annotations"] if source else None,
        evaluation=row.config["evaluation"],
        config=row.config,
        pipeline_digest=row.pipeline_digest,
        progress=_progress(session, row),
        reason=_problem(row.reason),
        metadata=row.config["metadata"],
        created_at=_time(row.created_at),
        created_by=row.created_by,
        finished_at=_optional_time(row.finished_at),
        links={
            "self": base,
            "rounds": f"{base}/rounds",
            "events": f"{base}/events",
            "pause": f"{base}:pause",
            "resume": f"{base}:resume",
            "stop": f"{base}:stop",
        },
    )


def _progress(session: Session, row: CampaignRow) -> CampaignProgress:
    rounds = row.config["rounds"]
    plans = [campaign_jobs.plan_of(row.config, n + 1) for n in range(rounds)]
    total = sum(len(plan) for plan in plans)
    done = float(sum(len(plan) for plan in plans[: max(0, row.round - 1)]))
    if row.round and row.step:
        done += plans[row.round - 1].index(row.step)
    job = jobs.get_job(session, row.job_id) if row.job_id else None
    job_fraction = events.fraction_of(job) if job else None
    if job_fraction is not None:
        done += min(job_fraction, 1.0)
    return CampaignProgress(
        fraction=1.0 if is_done(row) else min(1.0, done / total),
        round=row.round,
        rounds=rounds,
        step=row.step,
        job=row.job_id,
        job_fraction=job_fraction,
        waiting=_problem(row.waiting),
    )


def round_of(session: Session, row: CampaignRow, current: CampaignRoundRow) -> Round:
    """Return the document of a round."""
    base = f"/v1/campaigns/{row.id}"
    links = {"self": f"{base}/rounds/{current.number}", "campaign": base}
    student = current.student_version_id
    if current.label_set_id:
        links["label_set"] = f"/v1/label-sets/{current.label_set_id}"
    if student:
        name, _, number = _reference(session, student).rpartition(":")
        links["model"] = f"/v1/models/{name}/versions/{number}"
    scores = {of: Scores.model_validate(found) for of, found in current.scores.items()}
    return Round(
        campaign=row.id,
        number=current.number,
        status=current.status,
        teacher=_reference(session, current.teacher_version_id),
        model=_reference(session, student) if student else None,
        label_set=current.label_set_id,
        pipeline_digest=row.pipeline_digest,
        seed=current.seed,
        steps=[_step(s) for s in campaigns.list_steps(session, row.id, current.number)],
        gates=[GateResult.model_validate(gate) for gate in current.gates],
        teacher_scores=scores.get("teacher"),
        scores=scores.get("student"),
        selected_with_labels=row.config["evaluation_purpose"] == "validation",
        reason=_problem(current.reason),
        started_at=_time(current.started_at),
        finished_at=_optional_time(current.finished_at),
        links=links,
    )


def _step(row: CampaignStepRow) -> CampaignStep:
    return CampaignStep(
        step=row.step,
        status=row.status,
        job=row.job_id,
        detail=row.detail,
        started_at=_time(row.started_at),
        finished_at=_optional_time(row.finished_at),
    )
