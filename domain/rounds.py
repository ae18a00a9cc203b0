"""The state machine of campaigns: what the scheduler does for each, one step at a time.

Every step is one transaction under the lock of the campaign's row. A step that is a job inserts
its row, unique on (campaign, round, step), with the job: wherever a scheduler dies, and however
many look, a step has one job. Freezing takes several transactions and is found again by the
round that it is for.
"""

from typing import Final

from sqlalchemy.orm import Session

from api_schemas.campaigns import Gates
from api_schemas.problems import NotFound, ProblemError
from domain import campaign_events, campaign_gates, campaign_jobs, job_states, jobs
from domain.campaign_events import is_done
from domain.models import reference_of, set_current
from domain.round_labels import check_labels, figures_of, fill, open_label_set
from domain.round_turn import (
    GateNotPassed,
    Limits,
    StepFailed,
    Turn,
    add_step,
    begin_round,
    end_campaign,
    end_round,
    end_step,
    fail,
    next_step,
)
from storage.catalog import campaigns, image_sets, models
from storage.catalog import jobs as job_rows
from storage.catalog.engine import Catalog
from storage.catalog.locks import hold
from storage.catalog.tables import CampaignRoundRow, CampaignRow, JobRow

RETRY_SECONDS: Final = 30.0
MAX_DUE: Final = 200
GOOD_ENDS: Final = ("succeeded", "partial")
LEAST_ADAPT_IMAGES: Final = 2


class CampaignStopped(ProblemError):
    code, title, status = "campaign-stopped", "The campaign was stopped", 409


class CampaignStuck(ProblemError):
    code, title, status = "campaign-stuck", "The campaign cannot go on", 500


def due(catalog: Catalog) -> list[str]:
    """Return the campaigns that can go on, and cancel the jobs of those that are to stop."""
    with catalog.read() as session:
        to_cancel = campaigns.stopping_jobs(session, MAX_DUE)
    for job_id in to_cancel:
        _cancel(catalog, job_id)
    with catalog.read() as session:
        return campaigns.due_campaigns(session, MAX_DUE)


def _cancel(catalog: Catalog, job_id: str) -> None:
    try:
        jobs.cancel(catalog, job_id)
    except ProblemError:  # it was deleted: that cancels as well
        return


def advance(catalog: Catalog, campaign_id: str, limits: Limits | None = None) -> bool:
    """Move a campaign on by one step; returns whether there may be more to do at once."""
    figures = figures_of(catalog, campaign_id)
    frozen: str | None = None
    with catalog.write() as session:
        row = campaigns.lock_campaign(session, campaign_id)
        if row is None or row.status not in ("running", "stopping"):
            return False
        current = campaigns.get_round(session, row.id, row.round)
        if row.status == "stopping":
            return _stop(session, row, current)
        if current is None:
            begin_round(session, row, 1)
            return True
        turn = Turn(session, row, current, limits or Limits(), figures)
        if row.step in campaign_jobs.JOB_STEPS:
            return _job_step(turn)
        if row.step == "freeze":
            frozen = open_label_set(turn)
            if frozen is None:
                return True
        elif row.step == "check_labels":
            return check_labels(turn)
        else:
            _decide(turn)
            return True
    return fill(catalog, campaign_id, frozen)


def _job_step(turn: Turn) -> bool:
    step = turn.step_row()
    if step is None:
        return _start_step(turn)
    job = job_rows.get_job(turn.session, step.job_id) if step.job_id else None
    if job is None:
        fail(turn, StepFailed(f"The job of step '{step.step}' is gone."))
        return True
    if not job_states.is_done(job):
        turn.row.job_id = job.id
        return False
    if job.status not in GOOD_ENDS:
        why = (job.error or {}).get("detail", f"it was {job.status}")
        fail(turn, StepFailed(f"Job '{job.id}' of step '{step.step}' did not succeed: {why}"))
        return True
    try:
        _take_result(turn, step.step, job)
    except ProblemError as error:
        fail(turn, error)
        return True
    next_step(turn)
    return True


def _start_step(turn: Turn) -> bool:
    """Insert the row of a step together with its job; False if that has to wait."""
    session, row, name = turn.session, turn.row, turn.row.step or ""
    skipped = _reason_to_skip(turn, name)
    if skipped is not None:
        add_step(turn, "skipped", detail=skipped)
        next_step(turn)
        return True
    attempt = session.begin_nested()
    try:
        job = campaign_jobs.start(session, row, turn.current, name, turn.limits.max_queued)
        turn.limits.admit(session, job)
    except ProblemError as error:
        attempt.rollback()
        if error.retryable:
            row.waiting, row.next_at = error.to_json(), turn.now + RETRY_SECONDS
            return False
        fail(turn, error)
        return True
    attempt.commit()
    row.job_id, row.waiting, row.next_at = job.id, None, None
    add_step(turn, "running", job_id=job.id)
    return True


def _reason_to_skip(turn: Turn, name: str) -> str | None:
    if name != "adapt":
        return None
    target = image_sets.get_image_set(turn.session, turn.row.config["target"])
    if target is not None and target.accepted < LEAST_ADAPT_IMAGES:
        return "re-estimating statistics needs at least two images"
    return None


def _take_result(turn: Turn, name: str, job: JobRow) -> None:
    """Note what a job that succeeded has brought.

    Raises:
        ProblemError: its model is gone.
    """
    session, current = turn.session, turn.current
    if name == "adapt":
        version = campaign_jobs.version_made_by(session, job)
        current.teacher_version_id = turn.row.teacher_version_id = version.id
    elif name == "train":
        current.student_version_id = campaign_jobs.version_made_by(session, job).id
    elif name in ("baseline", "evaluate"):
        of = "teacher" if name == "baseline" else "student"
        current.scores = {**current.scores, of: campaign_jobs.scores_of(session, job)}


def _decide(turn: Turn) -> None:
    """Let the model of the round be the next teacher, or keep the teacher, and say why."""
    session, row, current = turn.session, turn.row, turn.current
    gates = Gates.model_validate(row.config["gates"])
    steers = row.config["evaluation_purpose"] == "validation"
    scores = {of: (current.scores.get(of) or {}).get("miou") for of in ("student", "teacher")}
    results = campaign_gates.check_model(scores["student"], scores["teacher"], gates, steers=steers)
    current.gates = [*current.gates, *(result.model_dump(mode="json") for result in results)]
    version = models.get_version(session, current.student_version_id or "")
    if version is None or hold(session, version).deleted_at is not None:
        fail(turn, NotFound("The model of the round was deleted."))
        return
    version.provenance = {
        **version.provenance,
        "campaign": row.id,
        "round": current.number,
        "selected_with_labels": steers,
    }
    end_step(turn, "done")
    failed = campaign_gates.first_failure(results)
    if failed is not None:
        reason = GateNotPassed(f"{failed.gate}: {failed.detail}; the limit is {failed.limit:g}.")
        end_round(turn, "kept_teacher", reason)
        _go_on(turn, reason if gates.after_a_drop == "halt" else None)
        return
    row.teacher_version_id = version.id
    if row.config["promote"]:
        set_current(session, version)
        campaign_events.promoted(row, reference_of(version))
    end_round(turn, "promoted")
    _go_on(turn, None)


def _go_on(turn: Turn, halt: ProblemError | None) -> None:
    if halt is not None:
        end_campaign(turn.session, turn.row, "halted", halt)
    elif turn.current.number >= turn.row.config["rounds"]:
        end_campaign(turn.session, turn.row, "succeeded")
    else:
        begin_round(turn.session, turn.row, turn.current.number + 1)


def _stop(session: Session, row: CampaignRow, current: CampaignRoundRow | None) -> bool:
    """End a campaign that is to stop, once its job is over."""
    job = job_rows.get_job(session, row.job_id) if row.job_id else None
    if job is not None and not job_states.is_done(job):
        return False
    reason = CampaignStopped("Somebody stopped the campaign. What its rounds have made stays.")
    if current is not None and current.status == "running":
        turn = Turn(session, row, current, Limits(), None)
        if turn.step_row() is not None:
            end_step(turn, "failed", reason.detail)
        end_round(turn, "stopped", reason)
    end_campaign(session, row, "stopped", reason)
    return False


def give_up(catalog: Catalog, campaign_id: str, why: str) -> None:
    """End a campaign that fails again and again for reasons of our own."""
    with catalog.write() as session:
        row = campaigns.lock_campaign(session, campaign_id)
        if row is None or is_done(row):
            return
        error = CampaignStuck(
            f"The campaign could not go on ({why}); the scheduler's log says why."
        )
        current = campaigns.get_round(session, row.id, row.round)
        if current is not None and current.status == "running":
            end_round(Turn(session, row, current, Limits(), None), "failed", error)
        end_campaign(session, row, "failed", error)
