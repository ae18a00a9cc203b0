"""Campaigns: the list, and one with its curves, rounds, gates and confusion matrices."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from domain import campaigns as use_cases
from domain.campaign_events import is_done
from domain.models import reference_of
from service import campaign_rendering
from service.pages import confusion
from service.pages.curves import Series, chart
from service.pages.templating import render
from service.paging import PageToken, decode_token, encode_token
from service.state import State
from storage.catalog import campaigns, image_sets, jobs, label_sets, models
from storage.catalog.tables import (
    CampaignRoundRow,
    CampaignRow,
    CampaignStepRow,
    JobRow,
    LabelSetRow,
    ModelVersionRow,
)

router = APIRouter(include_in_schema=False)

CAMPAIGNS_OF_A_PAGE: Final = 25


@dataclass(frozen=True)
class RoundView:
    """A round with what stands in other rows."""

    row: CampaignRoundRow
    teacher: str
    student: str | None
    steps: list[CampaignStepRow]
    label_set: LabelSetRow | None
    matrix: confusion.Matrix | None

    def miou(self, of: str) -> float | None:
        value = (self.row.scores.get(of) or {}).get("miou")
        return None if value is None else float(value)


@router.get("/campaigns")
def list_campaigns(request: Request, state: State, after: PageToken = None) -> HTMLResponse:
    with state.catalog.read() as session:
        rows = campaigns.list_campaigns(session, decode_token(after), CAMPAIGNS_OF_A_PAGE + 1)
        page = rows[:CAMPAIGNS_OF_A_PAGE]
        versions = models.get_versions(
            session, {v for r in page for v in (r.first_version_id, r.teacher_version_id)}
        )
        targets = image_sets.names_of(session, {r.config["target"] for r in page})
    lines = [
        {
            "row": row,
            "first": _name(versions, row.first_version_id),
            "teacher": _name(versions, row.teacher_version_id),
            "target": targets.get(row.config["target"], row.config["target"]),
            "fraction": 1.0 if is_done(row) else max(0, row.round - 1) / row.config["rounds"],
        }
        for row in page
    ]
    more = len(rows) > CAMPAIGNS_OF_A_PAGE
    return render(
        request,
        "campaigns.html",
        lines=lines,
        older=f"/campaigns?after={encode_token(page[-1].id)}" if more else None,
    )


@router.get("/campaigns/{campaign_id}")
def show_campaign(campaign_id: str, request: Request, state: State) -> HTMLResponse:
    with state.catalog.read() as session:
        row = use_cases.get_campaign(session, campaign_id)
        rounds = _rounds(session, row)
        document = campaign_rendering.campaign(session, row)
        target = image_sets.names_of(session, {row.config["target"]})
    return render(
        request,
        "campaign.html",
        campaign=document,
        row=row,
        rounds=rounds,
        target=target.get(row.config["target"], row.config["target"]),
        charts=[c for c in (_model_chart(rounds), _label_chart(rounds)) if c],
        iou=_iou_table(rounds),
    )


def _rounds(session: Session, row: CampaignRow) -> list[RoundView]:
    """Everything about the rounds in a fixed number of questions."""
    found = campaigns.list_rounds(session, row.id)
    steps = campaigns.all_steps(session, row.id)
    wanted = {row.first_version_id, row.teacher_version_id}
    wanted |= {v for one in found for v in (one.teacher_version_id, one.student_version_id) if v}
    versions = models.get_versions(session, wanted)
    sets = label_sets.get_label_sets(session, [o.label_set_id for o in found if o.label_set_id])
    measured = jobs.get_jobs(session, [j for one in found for j in [_measuring(one)] if j])
    return [
        RoundView(
            row=one,
            teacher=_name(versions, one.teacher_version_id),
            student=_name(versions, one.student_version_id) if one.student_version_id else None,
            steps=steps.get(one.number, []),
            label_set=sets.get(one.label_set_id or ""),
            matrix=_matrix(measured.get(_measuring(one) or "")),
        )
        for one in found
    ]


def _measuring(one: CampaignRoundRow) -> str | None:
    """The job that measured the model of a round."""
    job: str | None = (one.scores.get("student") or {}).get("job")
    return job


def _matrix(job: JobRow | None) -> confusion.Matrix | None:
    return None if job is None else confusion.of_result(job.result)


def _name(versions: dict[str, ModelVersionRow], version_id: str) -> str:
    return reference_of(versions[version_id]) if version_id in versions else version_id


def _columns(rounds: list[RoundView]) -> list[str]:
    return ["start", *(f"round {one.row.number}" for one in rounds)]


def _model_chart(rounds: list[RoundView]) -> Any:
    if not rounds:
        return None
    first = rounds[0].miou("teacher")
    trained = [first, *(one.miou("student") for one in rounds)]
    teachers = [first, *(one.miou("teacher") for one in rounds)]
    return chart(
        "mIoU of the models",
        _columns(rounds),
        [Series("trained", "line", trained), Series("teacher", "base", teachers)],
    )


def _label_chart(rounds: list[RoundView]) -> Any:
    sets = [one.label_set for one in rounds]
    return chart(
        "Labels that were trained on",
        [f"round {one.row.number}" for one in rounds],
        [
            Series("mean quality", "line", [s.quality if s else None for s in sets]),
            Series("coverage", "base", [s.coverage if s else None for s in sets]),
        ],
    )


def _iou_table(rounds: list[RoundView]) -> dict[str, list[float | None]]:
    """Class → its IoU at the start and after each round; empty where nothing was measured."""
    scores = [(rounds[0].row.scores.get("teacher") or {}).get("iou") or {}] if rounds else []
    scores += [(one.row.scores.get("student") or {}).get("iou") or {} for one in rounds]
    names = {name: None for found in scores for name in found}
    return {name: [found.get(name) for found in scores] for name in names}
