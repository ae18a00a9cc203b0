"""Models and their versions, and what each of them came from."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from domain import models as use_cases
from domain.models import reference_of
from service.pages.jobs import lines_of
from service.pages.templating import render
from service.paging import PageToken, decode_token, encode_token
from service.state import State
from storage.catalog import campaigns, jobs, models
from storage.catalog.tables import CampaignRoundRow, CampaignRow, JobRow, ModelVersionRow

router = APIRouter(include_in_schema=False)

MODELS_OF_A_PAGE: Final = 50
JOBS_SHOWN: Final = 10
LONGEST_CHAIN: Final = 60
ORIGINS: Final = {
    "models add": "added",
    "adapt": "normalisation re-estimated",
    "train": "trained",
    "fit_rectifier": "got a rectifier",
    "fit_connectivity": "got a classifier of regions",
}


@dataclass(frozen=True)
class VersionView:
    """A version with the round that trained it, if one did."""

    row: ModelVersionRow
    campaign: CampaignRow | None = None
    round: CampaignRoundRow | None = None

    @property
    def reference(self) -> str:
        return reference_of(self.row)

    @property
    def origin(self) -> str:
        source = str(self.row.provenance.get("source", ""))
        return ORIGINS.get(source, source or "unknown")

    @property
    def miou(self) -> float | None:
        scores: dict[str, Any] = self.round.scores if self.round else {}
        value = (scores.get("student") or {}).get("miou")
        return None if value is None else float(value)

    def link(self, name: str) -> str | None:
        """What its provenance says of `job`, `label_set`, …; None unless it is a text."""
        value = self.row.provenance.get(name)
        return value if isinstance(value, str) else None


@router.get("/models")
def list_models(request: Request, state: State, after: PageToken = None) -> HTMLResponse:
    with state.catalog.read() as session:
        rows = models.list_models(session, decode_token(after), MODELS_OF_A_PAGE + 1)
        page = rows[:MODELS_OF_A_PAGE]
        names = [row.name for row in page]
        counts = models.version_counts(session, names)
        kinds = models.current_kinds(session, names)
    more = len(rows) > MODELS_OF_A_PAGE
    return render(
        request,
        "models.html",
        lines=[(row, counts.get(row.name, 0), kinds.get(row.name)) for row in page],
        older=f"/models?after={encode_token(page[-1].name)}" if more else None,
    )


@router.get("/models/{name}")
def show_model(name: str, request: Request, state: State) -> HTMLResponse:
    with state.catalog.read() as session:
        model = use_cases.get_model(session, name)
        rows = models.list_versions(session, name)
        made = campaigns.rounds_that_made(session, [row.id for row in rows])
    versions = [VersionView(row, *made.get(row.id, (None, None))) for row in reversed(rows)]
    return render(request, "model.html", model=model, versions=versions)


@router.get("/models/{name}/{number}")
def show_version(
    name: str, number: Annotated[int, Path(ge=1, le=999_999_999)], request: Request, state: State
) -> HTMLResponse:
    with state.catalog.read() as session:
        row = use_cases.get_version(session, name, number)
        model = use_cases.get_model(session, name)
        known = {reference_of(one): one for one in models.list_versions(session, name)}
        chain = _ancestors(row, known)
        made = campaigns.rounds_that_made(session, [one.id for one in chain])
        used = jobs.list_jobs(
            session, after=None, limit=JOBS_SHOWN, where=[JobRow.model_version_id == row.id]
        )
        lines = lines_of(session, used)
    views = [VersionView(one, *made.get(one.id, (None, None))) for one in chain]
    oldest = chain[-1].provenance.get("parent")
    return render(
        request,
        "version.html",
        model=model,
        version=views[0],
        chain=views,
        beyond=oldest if isinstance(oldest, str) else None,
        lines=lines,
        classes=(row.ontology or {}).get("classes", []),
    )


def _ancestors(row: ModelVersionRow, known: dict[str, ModelVersionRow]) -> list[ModelVersionRow]:
    """The version and what it was made from, as far as the same model goes."""
    chain = [row]
    while len(chain) < LONGEST_CHAIN:
        parent = known.get(str(chain[-1].provenance.get("parent")))
        if parent is None or parent in chain:
            break
        chain.append(parent)
    return chain
