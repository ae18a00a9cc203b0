"""What is told about a campaign, written in the transaction that changes it; and read again."""

from typing import Any, Final

from sqlalchemy.orm import Session, object_session

from api_schemas.campaigns import (
    ENDED_CAMPAIGNS,
    CampaignFacts,
    PromotionEvent,
    RoundEvent,
    StepEvent,
)
from domain.models import reference_of
from storage.catalog import campaigns, models
from storage.catalog.events import Event
from storage.catalog.tables import CampaignRoundRow, CampaignRow, CampaignStepRow

MAX_EVENTS: Final = 5000  # of a campaign of 50 rounds there are about 1,000


def is_done(row: CampaignRow) -> bool:
    return row.status in ENDED_CAMPAIGNS


def status_changed(row: CampaignRow) -> None:
    """`campaign.status`, and `campaign.done` behind it at the end."""
    _record(row, "campaign.status", _facts(row))
    if is_done(row):
        _record(row, "campaign.done", _facts(row))


def round_changed(row: CampaignRow, current: CampaignRoundRow) -> None:
    """`round.status`."""
    event = RoundEvent(
        campaign=row.id,
        round=current.number,
        status=current.status,
        model=_reference(row, current.student_version_id),
        reason=current.reason,
    )
    _record(row, "round.status", event.model_dump(mode="json", exclude_none=True))


def step_changed(row: CampaignRow, step: CampaignStepRow) -> None:
    """`step.status`."""
    event = StepEvent(
        campaign=row.id, round=step.round, step=step.step, status=step.status, job=step.job_id
    )
    _record(row, "step.status", event.model_dump(mode="json", exclude_none=True))


def promoted(row: CampaignRow, model: str) -> None:
    """`model.promoted`."""
    event = PromotionEvent(campaign=row.id, round=row.round, model=model)
    _record(row, "model.promoted", event.model_dump(mode="json"))


def _facts(row: CampaignRow) -> dict[str, Any]:
    facts = CampaignFacts(
        campaign=row.id,
        status=row.status,
        round=row.round,
        teacher=_reference(row, row.teacher_version_id) or "",
        reason=row.reason,
    )
    return facts.model_dump(mode="json", exclude_none=True)


def _reference(row: CampaignRow, version_id: str | None) -> str | None:
    version = models.get_version(_session_of(row), version_id) if version_id else None
    return reference_of(version) if version else None


def _record(row: CampaignRow, event_type: str, data: dict[str, Any]) -> None:
    row.event_seq += 1
    campaigns.add_event(_session_of(row), row.id, row.event_seq, event_type, data)


def _session_of(row: CampaignRow) -> Session:
    session = object_session(row)
    if session is None:
        raise ValueError(f"campaign {row.id} is not part of a transaction")
    return session


def missed_events(session: Session, row: CampaignRow, last_seq: int) -> list[Event] | None:
    """Return what a client that knows everything up to `last_seq` has missed; None if unknown."""
    if not 0 <= last_seq <= row.event_seq:
        return None
    return campaigns.events_after(session, row.id, last_seq, MAX_EVENTS)


def end_of(row: CampaignRow) -> Event:
    """Return `campaign.done` of a campaign that is over."""
    return Event(row.event_seq, "campaign.done", _facts(row))
