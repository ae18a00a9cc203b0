"""One look at a campaign under its lock, and the moves that all steps share."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.problems import ProblemError
from domain import campaign_events, campaign_jobs, webhook_outbox
from domain.campaign_gates import LabelFigures
from domain.models import reference_of
from storage.catalog import campaigns, models
from storage.catalog.engine import db_now
from storage.catalog.tables import CampaignRoundRow, CampaignRow, CampaignStepRow, JobRow

Admit = Callable[[Session, JobRow], None]


class StepFailed(ProblemError):
    code, title, status = "step-failed", "A step of the round did not succeed", 500


class GateNotPassed(ProblemError):
    code, title, status = "gate-not-passed", "A gate of the round was not passed", 409


def _always(_session: Session, _job: JobRow) -> None:
    return


@dataclass(frozen=True)
class Limits:
    """What new jobs have to respect.

    Attributes:
        max_queued: unfinished images beyond which no job is created.
        admit: refuses a new job by a `ProblemError`, as quotas do.
    """

    max_queued: int = 2**62
    admit: Admit = _always


@dataclass
class Turn:
    """One look at a campaign, under its lock."""

    session: Session
    row: CampaignRow
    current: CampaignRoundRow
    limits: Limits
    figures: LabelFigures | None

    @property
    def now(self) -> float:
        return self.session.scalar(select(db_now())) or 0.0

    @property
    def made_for(self) -> str:
        return f"{self.row.id}/{self.current.number}"

    def step_row(self) -> CampaignStepRow | None:
        step = self.row.step or ""
        return campaigns.get_step(self.session, self.row.id, self.current.number, step)


def begin_round(session: Session, row: CampaignRow, number: int) -> None:
    before = campaigns.get_round(session, row.id, number - 1)
    known = {}
    if before is not None:
        scores = before.scores.get("student" if before.status == "promoted" else "teacher")
        known = {"teacher": scores} if scores else {}
    current = CampaignRoundRow(
        campaign_id=row.id,
        number=number,
        status="running",
        teacher_version_id=row.teacher_version_id,
        seed=row.config["seed"] + number - 1,
        gates=[],
        scores=known,
        started_at=session.scalar(select(db_now())) or 0.0,
    )
    campaigns.add_round(session, current)
    row.round = number
    row.step = campaign_jobs.plan_of(row.config, number)[0]
    campaign_events.round_changed(row, current)


def add_step(
    turn: Turn, status: str, *, job_id: str | None = None, detail: str | None = None
) -> None:
    plan = campaign_jobs.plan_of(turn.row.config, turn.current.number)
    name = turn.row.step or ""
    values = {
        "campaign_id": turn.row.id,
        "round": turn.current.number,
        "step": name,
        "status": status,
        "job_id": job_id,
        "detail": detail,
        "number": plan.index(name),
        "finished_at": None if status == "running" else turn.now,
    }
    if not campaigns.add_step(turn.session, values):
        raise LookupError(f"step {name} of round {turn.made_for} is there already")
    step = turn.step_row()
    assert step is not None
    campaign_events.step_changed(turn.row, step)


def end_step(turn: Turn, status: str, detail: str | None = None) -> None:
    step = turn.step_row()
    if step is None:
        add_step(turn, status, detail=detail)
    elif step.status == "running":
        step.status, step.finished_at = status, turn.now
        step.detail = detail[:1024] if detail else None
        campaign_events.step_changed(turn.row, step)


def next_step(turn: Turn) -> None:
    end_step(turn, "done")
    plan = campaign_jobs.plan_of(turn.row.config, turn.current.number)
    turn.row.step = plan[plan.index(turn.row.step or "") + 1]
    turn.row.job_id = turn.row.next_at = turn.row.waiting = None


def fail(turn: Turn, error: ProblemError) -> None:
    """End the round and the campaign; the teacher stays."""
    end_step(turn, "failed", error.detail)
    end_round(turn, "failed", error)
    end_campaign(turn.session, turn.row, "failed", error)


def end_round(turn: Turn, status: str, reason: ProblemError | None = None) -> None:
    current = turn.current
    current.status, current.finished_at = status, turn.now
    current.reason = reason.to_json() if reason else None
    campaign_events.round_changed(turn.row, current)
    version = models.get_version(turn.session, current.student_version_id or "")
    model = reference_of(version) if version else None
    webhook_outbox.round_completed(turn.session, turn.row, current, model)


def end_campaign(
    session: Session, row: CampaignRow, status: str, reason: ProblemError | None = None
) -> None:
    row.status, row.step = status, None
    row.reason = reason.to_json() if reason else None
    row.job_id = row.next_at = row.waiting = None
    row.finished_at = session.scalar(select(db_now()))
    campaign_events.status_changed(row)


def teacher_of(turn: Turn) -> str:
    version = models.get_version(turn.session, turn.row.teacher_version_id)
    return reference_of(version) if version else ""
