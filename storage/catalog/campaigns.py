"""Campaigns, rounds, steps and events."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from api_schemas.campaigns import ENDED_CAMPAIGNS
from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.events import Event
from storage.catalog.tables import (
    CampaignEventRow,
    CampaignRoundRow,
    CampaignRow,
    CampaignStepRow,
    JobRow,
)
from storage.catalog.upsert import insert_new


def add_campaign(session: Session, row: CampaignRow) -> None:
    session.add(row)
    session.flush()


def get_campaign(session: Session, campaign_id: str) -> CampaignRow | None:
    return session.get(CampaignRow, campaign_id)


def lock_campaign(session: Session, campaign_id: str) -> CampaignRow | None:
    """Return a campaign, locked until the transaction ends; who changes it does so."""
    return session.get(CampaignRow, campaign_id, with_for_update=True, populate_existing=True)


def list_campaigns(session: Session, after: str | None, limit: int) -> list[CampaignRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = (
        select(CampaignRow)
        .where(CampaignRow.deleted_at.is_(None))
        .order_by(CampaignRow.id.desc())
        .limit(limit)
    )
    if after:
        query = query.where(CampaignRow.id < after)
    return list(session.scalars(query))


def due_campaigns(session: Session, limit: int) -> list[str]:
    """Return the ids of the campaigns that can go on: none that waits for a job or for its time."""
    is_over = exists().where(JobRow.id == CampaignRow.job_id, JobRow.status.in_(DONE_STATUSES))
    query = (
        select(CampaignRow.id)
        .where(
            CampaignRow.status.in_(("running", "stopping")),
            or_(CampaignRow.next_at.is_(None), CampaignRow.next_at <= db_now()),
            or_(CampaignRow.job_id.is_(None), is_over),
        )
        .order_by(CampaignRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def stopping_jobs(session: Session, limit: int) -> list[str]:
    """Return the ids of the jobs of campaigns that are to stop, which nobody has cancelled yet."""
    query = (
        select(JobRow.id)
        .join(CampaignRow, CampaignRow.job_id == JobRow.id)
        .where(
            CampaignRow.status == "stopping",
            JobRow.status.not_in((*DONE_STATUSES, "cancelling")),
        )
        .limit(limit)
    )
    return list(session.scalars(query))


def add_round(session: Session, row: CampaignRoundRow) -> None:
    session.add(row)
    session.flush()


def get_round(session: Session, campaign_id: str, number: int) -> CampaignRoundRow | None:
    return session.get(CampaignRoundRow, (campaign_id, number))


def list_rounds(session: Session, campaign_id: str) -> list[CampaignRoundRow]:
    query = (
        select(CampaignRoundRow)
        .where(CampaignRoundRow.campaign_id == campaign_id)
        .order_by(CampaignRoundRow.number)
    )
    return list(session.scalars(query))


def get_step(session: Session, campaign_id: str, number: int, step: str) -> CampaignStepRow | None:
    return session.get(CampaignStepRow, (campaign_id, number, step))


def list_steps(session: Session, campaign_id: str, number: int) -> list[CampaignStepRow]:
    query = (
        select(CampaignStepRow)
        .where(CampaignStepRow.campaign_id == campaign_id, CampaignStepRow.round == number)
        .order_by(CampaignStepRow.number)
    )
    return list(session.scalars(query))


def all_steps(session: Session, campaign_id: str) -> dict[int, list[CampaignStepRow]]:
    """Return round → its steps in order, in one question."""
    query = (
        select(CampaignStepRow)
        .where(CampaignStepRow.campaign_id == campaign_id)
        .order_by(CampaignStepRow.round, CampaignStepRow.number)
    )
    found: dict[int, list[CampaignStepRow]] = {}
    for row in session.scalars(query):
        found.setdefault(row.round, []).append(row)
    return found


def rounds_that_made(
    session: Session, version_ids: Iterable[str]
) -> dict[str, tuple[CampaignRow, CampaignRoundRow]]:
    """Return version id → the round that trained it, of campaigns that were not deleted."""
    query = (
        select(CampaignRow, CampaignRoundRow)
        .join(CampaignRoundRow, CampaignRoundRow.campaign_id == CampaignRow.id)
        .where(
            CampaignRoundRow.student_version_id.in_(list(version_ids)),
            CampaignRow.deleted_at.is_(None),
        )
    )
    rows = session.execute(query)
    return {one.student_version_id or "": (campaign, one) for campaign, one in rows}


def add_step(session: Session, values: dict[str, Any]) -> bool:
    """Insert a step; False if the round has it already."""
    key = ["campaign_id", "round", "step"]
    return insert_new(session, CampaignStepRow, {**values, "started_at": db_now()}, key=key)


def add_event(
    session: Session, campaign_id: str, seq: int, event_type: str, data: dict[str, Any]
) -> None:
    """Store an event; `seq` must be new for this campaign."""
    session.add(
        CampaignEventRow(
            campaign_id=campaign_id, seq=seq, type=event_type, data=data, created_at=db_now()
        )
    )


def event_numbers(session: Session, campaign_ids: Iterable[str]) -> dict[str, int]:
    """Return campaign id → `event_seq` of the campaigns that exist."""
    query = select(CampaignRow.id, CampaignRow.event_seq).where(
        CampaignRow.id.in_(list(campaign_ids))
    )
    return {row.id: row.event_seq for row in session.execute(query)}


def events_after(session: Session, campaign_id: str, after_seq: int, limit: int) -> list[Event]:
    """Return at most `limit` events of larger numbers, in order."""
    query = (
        select(CampaignEventRow.seq, CampaignEventRow.type, CampaignEventRow.data)
        .where(CampaignEventRow.campaign_id == campaign_id, CampaignEventRow.seq > after_seq)
        .order_by(CampaignEventRow.seq)
        .limit(limit)
    )
    return [Event(row.seq, row.type, row.data) for row in session.execute(query)]


def live_campaigns_naming(session: Session, ids: Iterable[str], limit: int) -> list[CampaignRow]:
    """Return campaigns that are not over and work with one of the things."""
    wanted = set(ids)
    query = (
        select(CampaignRow)
        .where(CampaignRow.status.not_in(ENDED_CAMPAIGNS))
        .order_by(CampaignRow.id)
    )
    return [row for row in session.scalars(query) if wanted & _names(session, row)][:limit]


def _names(session: Session, row: CampaignRow) -> set[str]:
    """Return what a campaign works with: ids of sets, versions and of the jobs of its round."""
    text = json.dumps(row.config)
    named = {word for word in text.replace('"', " ").split() if "_" in word}
    named |= {row.first_version_id, row.teacher_version_id}
    current = get_round(session, row.id, row.round)
    if current is not None:
        named |= {x for x in (current.student_version_id, current.label_set_id) if x}
    steps = list_steps(session, row.id, row.round)
    return named | {step.job_id for step in steps if step.job_id}


def rounds_of_jobs(session: Session, job_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return job id → (campaign, round) of the jobs that are steps; deleted campaigns left out."""
    query = (
        select(CampaignStepRow.job_id, CampaignStepRow.campaign_id, CampaignStepRow.round)
        .join(CampaignRow, CampaignRow.id == CampaignStepRow.campaign_id)
        .where(CampaignStepRow.job_id.in_(list(job_ids)), CampaignRow.deleted_at.is_(None))
    )
    return {row[0]: (row[1], row[2]) for row in session.execute(query) if row[0]}
