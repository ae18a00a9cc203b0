"""Plays the jobs of a campaign: what workers would have made of them, straight in the catalog."""

import hashlib
from typing import Any

from sqlalchemy import select

from api_schemas.campaigns import CampaignCreate
from domain import annotations, campaigns, job_states, jobs, planning, rounds
from domain.leases import Commit, Outcome, commit
from domain.models import NewVersion, reference_of, register_version
from domain.round_turn import Limits
from storage.catalog.engine import Catalog
from storage.catalog.jobs import lock_job
from storage.catalog.tables import (
    CampaignEventRow,
    CampaignRoundRow,
    CampaignRow,
    CampaignStepRow,
    JobRow,
)
from storage.objects import annotation_key
from tests.support.rows import CLASSES, claim_items, digest_of, get_items, get_job, label_values


def annotated(catalog: Catalog, image_set: str, purpose: str, names: Any = (0, 1, 2)) -> str:
    """An annotation set of a purpose on the images 0.png, 1.png, … of `add_set`."""
    ontology = {"name": "t", "classes": CLASSES}
    found = [(f"{i}.png", digest_of(i), annotation_key(digest_of(("a", i)))) for i in names]
    with catalog.write() as session:
        return annotations.store(
            session, image_set_id=image_set, purpose=purpose, ontology=ontology,
            annotations=found, rejected=0,
        ).id  # fmt: skip


def start(catalog: Catalog, target: str, **more: Any) -> str:
    """A campaign without source, of two rounds, with the model `tiny`."""
    body = {"model": "tiny", "target": target, "setting": "source_free", "rounds": 2,
            "pipeline": {"select": None}, **more}  # fmt: skip
    with catalog.write() as session:
        return campaigns.create(session, CampaignCreate.model_validate(body), "key_a").id


def advance(catalog: Catalog, campaign_id: str, limits: Limits | None = None) -> None:
    """Let the machine go as far as it can."""
    while rounds.advance(catalog, campaign_id, limits):
        pass


def get(catalog: Catalog, campaign_id: str) -> CampaignRow:
    with catalog.read() as session:
        row = session.get(CampaignRow, campaign_id)
    assert row is not None
    return row


def round_of(catalog: Catalog, campaign_id: str, number: int) -> CampaignRoundRow:
    with catalog.read() as session:
        row = session.get(CampaignRoundRow, (campaign_id, number))
    assert row is not None
    return row


def steps(catalog: Catalog, campaign_id: str) -> list[str]:
    """Such as `1 train done`, in order."""
    query = (
        select(CampaignStepRow)
        .where(CampaignStepRow.campaign_id == campaign_id)
        .order_by(CampaignStepRow.round, CampaignStepRow.number)
    )
    with catalog.read() as session:
        return [f"{s.round} {s.step} {s.status}" for s in session.scalars(query)]


def step_of(catalog: Catalog, campaign_id: str, number: int, step: str) -> CampaignStepRow:
    with catalog.read() as session:
        row = session.get(CampaignStepRow, (campaign_id, number, step))
    assert row is not None
    return row


def events(catalog: Catalog, campaign_id: str) -> list[tuple[str, dict[str, Any]]]:
    query = (
        select(CampaignEventRow)
        .where(CampaignEventRow.campaign_id == campaign_id)
        .order_by(CampaignEventRow.seq)
    )
    with catalog.read() as session:
        return [(row.type, row.data) for row in session.scalars(query)]


def jobs_of(catalog: Catalog, campaign_id: str) -> list[JobRow]:
    """Every job that was made for a campaign, found by what it says itself."""
    with catalog.read() as session:
        found = session.scalars(select(JobRow).order_by(JobRow.id))
        return [job for job in found if job.job_metadata.get("campaign") == campaign_id]


def add_version_of(catalog: Catalog, name: str, seed: object, kind: str = "bundle") -> str:
    """A version that nobody promoted; returns `name@number`, as a training does."""
    digest = hashlib.sha256(f"version {seed}".encode()).hexdigest()
    new = NewVersion(name, kind, digest, {}, {"name": "t", "classes": CLASSES}, 0, {}, {})
    with catalog.write() as session:
        return reference_of(register_version(session, new, promote=False)).replace(":", "@")


def finish(catalog: Catalog, job_id: str, **played: Any) -> None:
    """End a job well.

    Args:
        played: `miou` of an evaluation; `class_pixels` of every label of a generate job.
    """
    job = get_job(catalog, job_id)
    if job_states.is_done(job):
        return
    if job.type == "generate":
        _label(catalog, job_id, played.get("class_pixels", {"0": 400, "1": 368}))
        return
    result: dict[str, Any] = {"model": None}
    if job.type in ("adapt", "train"):
        result = {"model": add_version_of(catalog, "tiny", job_id)}
    if job.type == "evaluate":
        quality = {"miou_full": played.get("miou", 0.5), "iou": {"road": 0.4, "sky": None}}
        result = {"quality": quality}
    with catalog.write() as session:
        row = lock_job(session, job_id)
        row.planned, row.phase = row.total, "label"
        job_states.move(row, "queued", "succeeded", row.queued)
        job_states.complete(session, row, result)


def _label(catalog: Catalog, job_id: str, class_pixels: dict[str, int]) -> None:
    planning.plan(catalog, job_id)
    items = [item for item in get_items(catalog, job_id) if item.image_digest]
    outcomes = []
    for item in items:
        label = label_values(catalog, job_id, item.image_digest or "")
        name = f"{job_id} {item.image_digest}"
        kept = sum(class_pixels.values())
        label |= {
            "digest": hashlib.sha256(name.encode()).hexdigest(),
            "class_pixels": class_pixels,
            "coverage": kept / (32 * 24),
            "quality": 0.5 if kept else None,
        }
        outcomes.append(Outcome(position=item.position, label=label, quality=label["quality"]))
    positions = [item.position for item in items]
    claimed = claim_items(catalog, job_id, positions)
    commit(catalog, claimed.lease, Commit(outcomes=outcomes, close=True), 60.0)


def finish_current(catalog: Catalog, campaign_id: str, **played: Any) -> str:
    """End the job that a campaign waits for; returns the step."""
    row = get(catalog, campaign_id)
    assert row.job_id is not None, (row.status, row.step, row.reason)
    finish(catalog, row.job_id, **played)
    return row.step or ""


def run(catalog: Catalog, campaign_id: str, **played: Any) -> list[str]:
    """Play a campaign to its end; returns the steps whose jobs were played."""
    done = []
    advance(catalog, campaign_id)
    while get(catalog, campaign_id).status == "running":
        done.append(finish_current(catalog, campaign_id, **played))
        advance(catalog, campaign_id)
    return done


def end_badly(catalog: Catalog, job_id: str, status: str) -> None:
    """End a job as `failed` or `cancelled`."""
    with catalog.write() as session:
        row = lock_job(session, job_id)
        if status == "failed":
            job_states.fail_job(row, rounds.CampaignStuck("the worker's disk is full"))
    jobs.cancel(catalog, job_id)
    with catalog.write() as session:
        row = lock_job(session, job_id)
        job_states.cancel_some(session, row)
        job_states.settle(session, row)
