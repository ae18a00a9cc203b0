"""The review queue: one label after the other, those first from which a look is worth most."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from api_schemas.ids import JobId
from api_schemas.reviews import ReviewOrder
from domain import jobs as job_use_cases
from domain.models import reference_of
from service.pages.labels import viewer_data
from service.pages.templating import render
from service.paging import PageToken, decode_place, encode_place
from service.state import State
from storage.catalog import models, review_queue
from storage.catalog.review_queue import Place, Waiting

router = APIRouter(include_in_schema=False)

SHOWN: Final = 7  # the label to decide on, and those that come after it


@router.get("/review")
def show_queue(
    request: Request,
    state: State,
    job: Annotated[JobId | None, Query()] = None,
    order_by: Annotated[ReviewOrder, Query()] = "expected_gain",
    after: PageToken = None,
) -> HTMLResponse:
    """`after` passes over what was skipped; what was decided on is not in the queue any more."""
    listing = f"review page {order_by} {job}"
    place = decode_place(after, listing)
    with state.catalog.read() as session:
        if job is not None:
            job_use_cases.get_job(session, job)
        last = Place(place[0], place[1]) if place is not None and place[0] is not None else None
        found = review_queue.page(session, order_by, job, last, SHOWN)
        version = models.get_version(session, found[0].label.model_version_id) if found else None
    context: dict[str, Any] = {"viewer": None, "waiting": None, "skip": None}
    if found and version is not None:
        token = encode_place(listing, _value(found[0], order_by), found[0].label.id)
        context = {
            "viewer": viewer_data(found[0].label, version),
            "waiting": found[0],
            "model": reference_of(version),
            "skip": f"/review?{_asked(job, order_by)}after={token}",
        }
    return render(
        request,
        "review.html",
        job=job,
        order_by=order_by,
        asked=_asked(job, order_by).rstrip("&"),
        rest=found[1:],
        is_later=after is not None,
        **context,
    )


def _value(waiting: Waiting, order_by: ReviewOrder) -> float | None:
    value: float | None = getattr(waiting.item, order_by)
    return value


def _asked(job: str | None, order_by: str) -> str:
    return (f"job={job}&" if job else "") + f"order_by={order_by}&"
