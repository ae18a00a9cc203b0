"""One label in the viewer: the image, what each stage made of it, and where it comes from."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from api_schemas.ids import JobId
from service.label_lineage import lineage_of
from service.labels import find_label
from service.pages.label_pictures import STAGES, shrunk_hw
from service.pages.templating import render
from service.state import State
from storage.catalog import items, reviews
from storage.catalog.tables import JobItemRow, LabelRow, ModelVersionRow

router = APIRouter(include_in_schema=False)

REVIEWS_SHOWN: Final = 20
TITLES: Final = {
    "predict": "Predicted",
    "rectify": "Rectified",
    "select": "Selected",
    "aggregate": "Aggregated",
    "correct": "Corrected",
}


@router.get("/labels/{label_id}")
def show_label(
    label_id: str,
    request: Request,
    state: State,
    job: Annotated[JobId | None, Query()] = None,
    position: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> HTMLResponse:
    """`job` and `position` say from where it was opened, so that there is a next one."""
    with state.catalog.read() as session:
        label, version = find_label(session, label_id)
        lineage = lineage_of(session, label, version)
        if job is None and lineage.jobs:
            job, position = lineage.jobs[0].job, lineage.jobs[0].position
        before, item, after = _around(session, job, position)
        decided = reviews.reviews_of_label(session, label_id, REVIEWS_SHOWN)
    return render(
        request,
        "label.html",
        label=label,
        lineage=lineage,
        item=item if item and item.label_id == label.id else None,
        before=before,
        after=after,
        decided=decided,
        skip=None,
        viewer=viewer_data(label, version),
    )


def _around(
    session: Session, job_id: str | None, position: int | None
) -> tuple[JobItemRow | None, JobItemRow | None, JobItemRow | None]:
    if job_id is None or position is None:
        return None, None, None
    before, after = items.neighbours(session, job_id, position)
    return before, items.items_at(session, job_id, [position]).get(position), after


def viewer_data(label: LabelRow, version: ModelVersionRow) -> dict[str, Any]:
    """Return what the script of the viewer needs: addresses, stages that are stored, classes."""
    base = f"/labels/{label.id}"
    height, width = shrunk_hw(label.height_px, label.width_px)
    stages = [
        {"name": name, "title": TITLES[name], "map": f"{base}/maps/{name}"}
        for name in STAGES
        if f"stages/{name}.png" in label.artifacts
    ]
    # The map after the last stage is the label; there is one even where no stage was kept.
    if not stages:
        stages = [{"name": "label", "title": "Label", "map": f"{base}/maps/label"}]
    has_regions = "regions.json" in label.artifacts
    total = label.height_px * label.width_px
    return {
        "label": label.id,
        "width": width,
        "height": height,
        "scale": label.width_px / width,
        "image": f"{base}/picture",
        "confidence": f"{base}/maps/confidence",
        "stages": stages,
        "regions": {"map": f"{base}/maps/regions", "list": f"{base}/regions"}
        if has_regions
        else None,
        "classes": [
            {
                "id": one["id"],
                "name": one["name"],
                "color": one["color"],
                "share": label.class_pixels.get(str(one["id"]), 0) / total,
            }
            for one in version.ontology["classes"]
        ],
    }
