"""The start: what to do first, and what goes on."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api_schemas.campaigns import ENDED_CAMPAIGNS
from service.pages.jobs import LABELLING, lines_of
from service.pages.templating import render
from service.state import State
from storage.catalog import campaigns, jobs, models, system

router = APIRouter(include_in_schema=False)

JOBS_SHOWN: Final = 6


@router.get("/")
def home(request: Request, state: State) -> HTMLResponse:
    silent_seconds = 3 * state.settings.heartbeat_seconds
    with state.catalog.read() as session:
        now = system.clock(session)
        alive = {
            row.queue for row in system.all_workers(session) if now - row.seen_at <= silent_seconds
        }
        open_jobs, open_images = system.unfinished(session)
        lines = lines_of(session, jobs.list_jobs(session, after=None, limit=JOBS_SHOWN))
        rows = campaigns.list_campaigns(session, None, JOBS_SHOWN)
        has_models = bool(models.list_models(session, None, 1))
        labelled = jobs.newest_with_labels(session, LABELLING)
    return render(
        request,
        "home.html",
        has_models=has_models,
        labelled=labelled,
        has_campaigns=bool(rows),
        campaigns=[row for row in rows if row.status not in ENDED_CAMPAIGNS],
        lines=lines,
        open_jobs=open_jobs,
        open_images=open_images,
        missing=[name for name in ("label",) if name not in alive],
    )
