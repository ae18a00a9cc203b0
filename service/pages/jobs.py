"""The list of jobs, and one job with its live progress, failures and labels."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from api_schemas.jobs import ItemStatus, Job
from api_schemas.models import REGION_MODEL_KIND
from domain import jobs as use_cases
from domain.job_states import is_done
from domain.models import reference_of
from service import rendering
from service.pages import confusion
from service.pages.templating import render, thousands
from service.paging import PageToken, decode_place, decode_position, encode_place, encode_token
from service.state import State
from storage.catalog import campaigns, image_sets, items, jobs, labels, models, system
from storage.catalog.jobs import OPEN_STATUSES
from storage.catalog.tables import JobItemRow, JobRow, LabelRow

router = APIRouter(include_in_schema=False)

JOBS_OF_A_PAGE: Final = 25
LABELS_OF_A_PAGE: Final = 24
NEWEST_LABELS: Final = 8
FAILURES_SHOWN: Final = 20
FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "all": (),
    "open": OPEN_STATUSES,
    "succeeded": ("succeeded",),
    "troubled": ("partial", "failed", "expired", "cancelled"),
}
# The labels of these are shown; other jobs leave models and figures.
LABELLING: Final = ("generate", "refine")


@dataclass(frozen=True)
class JobLine:
    """A job in a list."""

    row: JobRow
    model: str | None
    image_set: str | None
    fraction: float


def lines_of(session: Session, rows: list[JobRow]) -> list[JobLine]:
    """Return jobs with the names of what they work on: two questions, however many jobs."""
    versions = models.get_versions(session, {r.model_version_id for r in rows})
    sets = image_sets.names_of(session, {r.image_set_id for r in rows})
    return [
        JobLine(
            row,
            reference_of(versions[row.model_version_id])
            if row.model_version_id in versions
            else None,
            sets.get(row.image_set_id or "") or row.image_set_id,
            _fraction(row),
        )
        for row in rows
    ]


def _fraction(row: JobRow) -> float:
    if is_done(row):
        return 1.0
    training = row.training or {}
    if training.get("step") is not None and training.get("steps"):
        return min(1.0, float(training["step"]) / float(training["steps"]))
    return (row.total - row.queued - row.running) / row.total if row.total else 0.0


@router.get("/jobs")
def list_jobs(
    request: Request,
    state: State,
    show: Annotated[str, Query(max_length=20)] = "all",
    after: PageToken = None,
) -> HTMLResponse:
    show = show if show in FILTERS else "all"
    where = [JobRow.status.in_(FILTERS[show])] if FILTERS[show] else []
    with state.catalog.read() as session:
        rows = jobs.list_jobs(
            session, after=decode_place(after, show), limit=JOBS_OF_A_PAGE + 1, where=where
        )
        lines = lines_of(session, rows[:JOBS_OF_A_PAGE])
    more = len(rows) > JOBS_OF_A_PAGE
    token = encode_place(show, None, rows[JOBS_OF_A_PAGE - 1].id) if more else None
    return render(
        request,
        "jobs.html",
        lines=lines,
        show=show,
        filters=list(FILTERS),
        older=f"/jobs?show={show}&after={token}" if token else None,
    )


@router.get("/jobs/new")
def new_job(request: Request, state: State) -> HTMLResponse:
    """The form that sends images; a script posts it to the API."""
    with state.catalog.read() as session:
        found = [
            row.name
            for row in models.list_models(session, None, 200)
            if row.current_version is not None
        ]
        kinds = models.current_kinds(session, found)
    segmenters = [name for name in found if kinds.get(name) not in (None, REGION_MODEL_KIND)]
    return render(request, "new_job.html", models=segmenters)


@router.get("/jobs/{job_id}")
def show_job(
    job_id: str,
    request: Request,
    state: State,
    show: Annotated[ItemStatus | None, Query()] = None,
    after: PageToken = None,
) -> HTMLResponse:
    position = decode_position(after)
    with state.catalog.read() as session:
        row = use_cases.get_job(session, job_id)
        live = _live(session, row)
        found = items.list_items(
            session, job_id, after_position=position, limit=LABELS_OF_A_PAGE + 1, status=show
        )
        page = found[:LABELS_OF_A_PAGE]
        shown = labels.get_labels(session, [i.label_id for i in page if i.label_id])
        names = image_sets.names_of(session, {row.image_set_id})
        rounds = campaigns.rounds_of_jobs(session, [row.id])
    older = None
    if len(found) > LABELS_OF_A_PAGE:
        asked = f"show={show}&" if show else ""
        older = f"/jobs/{row.id}?{asked}after={encode_token(page[-1].position)}#items"
    return render(
        request,
        "job.html",
        **live,
        items=[_Tile(item, shown.get(item.label_id or "")) for item in page],
        show=show,
        older=older,
        image_set_name=names.get(row.image_set_id or ""),
        campaign=rounds.get(row.id),
        matrix=confusion.of_result(row.result),
        result=_figures(row),
    )


@router.get("/jobs/{job_id}/live")
def live_part(job_id: str, request: Request, state: State) -> HTMLResponse:
    """The part of the page that changes, for the script that asks for it at each event."""
    with state.catalog.read() as session:
        live = _live(session, use_cases.get_job(session, job_id))
    return render(request, "job_live.html", **live)


def _live(session: Session, row: JobRow) -> dict[str, Any]:
    document = rendering.job(session, row)
    failed = []
    if row.failed:
        failed = items.list_items(session, row.id, limit=FAILURES_SHOWN, status="failed")
    newest: list[JobItemRow] = []
    shown: dict[str, LabelRow] = {}
    if not document.done and row.type in LABELLING:
        newest = items.newest_labelled(session, row.id, NEWEST_LABELS)
        shown = labels.get_labels(session, [i.label_id for i in newest if i.label_id])
    return {
        "job": document,
        "row": row,
        "now": system.clock(session),
        "fraction": _fraction(row),
        "counts": _parts(document),
        "failed": [rendering.job_item(item) for item in failed],
        "newest": [_Tile(item, shown.get(item.label_id or "")) for item in newest],
        "is_labelling": row.type in LABELLING,
    }


@dataclass(frozen=True)
class _Tile:
    """An image of a job, with its label if it has one."""

    item: JobItemRow
    label: LabelRow | None


def _parts(job: Job) -> list[tuple[str, int]]:
    """Counts that are not zero, by what became of the images."""
    counts = job.counts
    names = ("succeeded", "failed", "skipped", "cancelled", "running", "queued")
    return [(name, getattr(counts, name)) for name in names if getattr(counts, name)]


def _figures(row: JobRow) -> list[tuple[str, str]]:
    """What a job that is over found out, as text; numbers between 0 and 1 are shares."""
    result = (row.result or {}) if is_done(row) else {}
    figures = result.get("quality", result)
    if not isinstance(figures, dict):
        return []
    return [
        (_titled(str(name)), _text(value))
        for name, value in figures.items()
        if isinstance(value, str | int | float) or value is None
    ]


def _titled(name: str) -> str:
    """A figure's name for the eye: `miou_kept` is mIoU kept."""
    words = {"miou": "mIoU", "iou": "IoU", "auroc": "AUROC", "ece": "ECE"}
    return " ".join(words.get(word, word) for word in name.split("_"))


def _text(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else thousands(value)
