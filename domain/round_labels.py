"""The label set of a round: frozen, found again after a crash, and looked at by the gates."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.campaigns import Gates
from api_schemas.label_sets import LabelSetCreate
from api_schemas.problems import ProblemError, StateConflict
from domain import campaign_gates, label_sets
from domain.campaign_gates import LabelFigures
from domain.round_turn import (
    GateNotPassed,
    Limits,
    StepFailed,
    Turn,
    add_step,
    end_campaign,
    end_round,
    end_step,
    fail,
    next_step,
    teacher_of,
)
from storage.catalog import campaigns
from storage.catalog import label_sets as label_set_rows
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import CampaignRoundRow, CampaignRow, LabelSetRow


def open_label_set(turn: Turn) -> str | None:
    """Open the label set of the round; returns its id, None if there is nothing (more) to write."""
    session, row = turn.session, turn.row
    found = label_set_rows.find_made_for(session, turn.made_for)
    if found is None:
        job_id = _job_of(turn, "generate")
        attempt = session.begin_nested()
        try:
            request = _label_set_request(row, turn.current, job_id)
            found = label_sets.open_set(session, request, row.created_by, turn.made_for)
        except ProblemError as error:
            attempt.rollback()
            fail(turn, error)
            return None
        attempt.commit()
        if turn.step_row() is None:
            add_step(turn, "running")
        return found.id
    if found.deleted_at is not None:
        fail(turn, StepFailed(f"Label set '{found.id}' was deleted."))
        return None
    if found.status == "ready":
        turn.current.label_set_id = found.id
        next_step(turn)
        return None
    return found.id


def _label_set_request(row: CampaignRow, current: CampaignRoundRow, job_id: str) -> LabelSetCreate:
    return LabelSetCreate(
        name=f"{row.name or row.id}, round {current.number}"[:256],
        jobs=[job_id],
        annotation_set=row.config["reviewed"],
        selection=row.config["selection"],
    )


def _job_of(turn: Turn, name: str) -> str:
    step = campaigns.get_step(turn.session, turn.row.id, turn.current.number, name)
    return (step.job_id if step else None) or ""


def fill(catalog: Catalog, campaign_id: str, label_set_id: str) -> bool:
    """Write the label set of a round; whoever did so before has stopped."""
    try:
        freezer = label_sets.take_over(catalog, label_set_id)
        label_sets.fill(catalog, label_set_id, freezer, lambda *_: None)
    except StateConflict:  # another scheduler is at it, or has just made it ready
        return False
    except ProblemError as error:
        _fail_freeze(catalog, campaign_id, label_set_id, error)
    return True


def _fail_freeze(
    catalog: Catalog, campaign_id: str, label_set_id: str, error: ProblemError
) -> None:
    with catalog.write() as session:
        row = campaigns.lock_campaign(session, campaign_id)
        current = campaigns.get_round(session, campaign_id, row.round) if row else None
        label_set = label_set_rows.lock_label_set(session, label_set_id)
        if label_set is not None and label_set.status == "freezing":
            label_set.deleted_at = session.scalar(select(db_now()))
        if row is None or current is None or row.status != "running" or row.step != "freeze":
            return
        turn = Turn(session, row, current, Limits(), None)
        if label_set is not None and label_set.made_for == turn.made_for:
            fail(turn, error)


def figures_of(catalog: Catalog, campaign_id: str) -> LabelFigures | None:
    """Return what the gates look at, read before the campaign is locked: it may take a while."""
    with catalog.read() as session:
        row = campaigns.get_campaign(session, campaign_id)
        if row is None or row.step != "check_labels":
            return None
        current = campaigns.get_round(session, row.id, row.round)
        label_set = _label_set(session, current)
        if label_set is None:
            return None
        before = campaigns.get_round(session, row.id, row.round - 1)
        previous = _label_set(session, before)
        return LabelFigures(
            images=label_set.images,
            coverage=label_set.coverage,
            class_pixels=label_set.class_pixels,
            previous_class_pixels=previous.class_pixels if previous else None,
            drift=_drift(session, previous, label_set) if previous else None,
        )


def _label_set(session: Session, current: CampaignRoundRow | None) -> LabelSetRow | None:
    if current is None or current.label_set_id is None:
        return None
    return label_set_rows.get_label_set(session, current.label_set_id)


def _drift(session: Session, previous: LabelSetRow, label_set: LabelSetRow) -> float | None:
    """Return the mean distance of the labels of the images that are in both sets."""
    before = _class_pixels(session, previous.id)
    now = _class_pixels(session, label_set.id)
    both = before.keys() & now.keys()
    if not both:
        return None
    return sum(campaign_gates.distance(before[d], now[d]) for d in both) / len(both)


def _class_pixels(session: Session, label_set_id: str) -> dict[str, dict[str, int]]:
    """Return image digest → kept pixels by class, of the labels that a job made."""
    found: dict[str, dict[str, int]] = {}
    after = -1
    while page := label_set_rows.list_entries(session, label_set_id, after_position=after):
        found |= {e.row.image_digest: e.label.class_pixels for e in page if e.label is not None}
        after = page[-1].row.position
    return found


def check_labels(turn: Turn) -> bool:
    if turn.figures is None:
        if _label_set(turn.session, turn.current) is None:
            fail(turn, StepFailed("The label set of the round is gone."))
            return True
        return True  # it came to this step between the two looks
    gates = Gates.model_validate(turn.row.config["gates"])
    results = campaign_gates.check_labels(turn.figures, gates)
    turn.current.gates = [result.model_dump(mode="json") for result in results]
    failed = campaign_gates.first_failure(results)
    if failed is None:
        next_step(turn)
        return True
    end_step(turn, "done")
    reason = GateNotPassed(
        f"{failed.gate}: {failed.detail}; the limit is {failed.limit:g}. The next round would have "
        "the same labels: change the pipeline, the selection or the gate, and start a campaign "
        f"with model '{teacher_of(turn)}'."
    )
    end_round(turn, "kept_teacher", reason)
    end_campaign(turn.session, turn.row, "halted", reason)
    return True
