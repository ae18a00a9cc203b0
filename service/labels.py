"""Labels and their artefacts."""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.labels import Label
from api_schemas.problems import Gone, NotFound
from service import downloads, rendering
from service.downloads import Redirect
from service.etags import IfNoneMatch
from service.state import State
from storage.catalog import labels, models
from storage.catalog.tables import LabelRow

router = APIRouter(prefix="/v1/labels", tags=["labels"])


def _get(session: Session, label_id: str) -> LabelRow:
    row = labels.get_label(session, label_id)
    if row is None:
        raise NotFound(f"There is no label '{label_id[:80]}'. Label ids stand in a job's results.")
    if row.deleted_at is not None:
        raise Gone(f"Label '{label_id}' was deleted. Label its image again to have it back.")
    return row


@router.get("/{label_id}", summary="What a label is made of")
def get_label(label_id: str, state: State) -> Label:
    with state.catalog.read() as session:
        row = _get(session, label_id)
        version = models.get_version(session, row.model_version_id)
    if version is None:
        raise NotFound(f"The model of label '{label_id}' is gone.")
    return rendering.label(row, version)


@router.get(
    "/{label_id}/artifacts/{name:path}",
    summary="A file of a label: label.png, confidence.png, stages/….png",
    response_class=Response,
    responses=downloads.responses("image/png"),
)
def get_artifact(
    label_id: str,
    name: str,
    state: State,
    redirect: Redirect = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """`label.png` is an 8-bit index PNG (255 = ignore), `confidence.png` is round(255·c)."""
    with state.catalog.read() as session:
        row = _get(session, label_id)
    key = row.artifacts.get(name)
    if key is None:
        known = ", ".join(row.artifacts)
        raise NotFound(f"Label '{label_id}' has no artefact '{name[:80]}'. It has: {known}.")
    file = downloads.StoredFile(
        key=key,
        etag=f"{row.digest}-{name}",
        media_type="image/png",
        what=f"Artefact '{name}' of label '{label_id}'",
    )
    return downloads.send_file(state, file, redirect=redirect, if_none_match=if_none_match)
