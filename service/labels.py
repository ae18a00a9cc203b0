"""Labels and their artefacts."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.labels import Label, LabelLineage, LabelRegions
from api_schemas.problems import Gone, NotFound
from service import downloads, rendering
from service.downloads import Redirect
from service.etags import IfNoneMatch, send_document
from service.label_formats import (
    FORMAT_HELP,
    FORMAT_RESPONSES,
    LabelFormat,
    LabelSource,
    send_label,
)
from service.label_lineage import first_file_name, lineage_of
from service.state import State
from storage.catalog import labels, models
from storage.catalog.tables import LabelRow, ModelVersionRow

router = APIRouter(prefix="/v1/labels", tags=["labels"])


def _get(session: Session, label_id: str) -> LabelRow:
    row = labels.get_label(session, label_id)
    if row is None:
        raise NotFound(f"There is no label '{label_id[:80]}'. Label ids stand in a job's results.")
    if row.deleted_at is not None:
        raise Gone(f"Label '{label_id}' was deleted. Label its image again to have it back.")
    return row


def find_label(session: Session, label_id: str) -> tuple[LabelRow, ModelVersionRow]:
    """Return a label and the version of the model that made it.

    Raises:
        NotFound, Gone: there is none, or not any more.
    """
    row = _get(session, label_id)
    version = models.get_version(session, row.model_version_id)
    if version is None:
        raise NotFound(f"The model of label '{label_id}' is gone.")
    return row, version


@router.get(
    "/{label_id}",
    summary="What a label is made of, or the label in the format of a tool",
    response_model=Label,
    responses=FORMAT_RESPONSES,
)
def get_label(
    label_id: str,
    state: State,
    format: Annotated[LabelFormat | None, Query(description=FORMAT_HELP)] = None,  # noqa: A002
    redirect: Redirect = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    with state.catalog.read() as session:
        row, version = find_label(session, label_id)
        file_name = first_file_name(session, row) if format else ""
    if format is None:
        body = rendering.label(row, version).model_dump_json()
        return send_document(body, f"{row.digest}-{row.id}", if_none_match)
    source = LabelSource(row, version, file_name)
    return send_label(state, source, format, redirect=redirect, if_none_match=if_none_match)


@router.get(
    "/{label_id}/lineage",
    summary="Everything that a label depends on, and the jobs that show it",
    response_model=LabelLineage,
    responses={304: {"description": "You have it: see your ETag"}},
)
def get_lineage(label_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    with state.catalog.read() as session:
        row, version = find_label(session, label_id)
        body = lineage_of(session, row, version).model_dump_json()
    # jobs that show it come and go: the tag is that of the document
    etag = hashlib.sha256(body.encode()).hexdigest()
    return send_document(body, etag, if_none_match)


@router.get(
    "/{label_id}/artifacts/{name:path}",
    summary="A file of a label: label.png, confidence.png, regions.json, stages/….png",
    response_class=Response,
    responses=downloads.responses("image/png", LabelRegions),
)
def get_artifact(
    label_id: str,
    name: str,
    state: State,
    redirect: Redirect = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """`label.png` is an 8-bit index PNG (255 = ignore), `confidence.png` is round(255·c).

    `regions.json` is there where the pipeline has `aggregate` or `correct`: COCO RLE of each region
    and what became of it.
    """
    with state.catalog.read() as session:
        row = _get(session, label_id)
    key = row.artifacts.get(name)
    if key is None:
        known = ", ".join(row.artifacts)
        raise NotFound(f"Label '{label_id}' has no artefact '{name[:80]}'. It has: {known}.")
    file = downloads.StoredFile(
        key=key,
        etag=f"{row.digest}-{name}",
        media_type="application/json" if name.endswith(".json") else "image/png",
        what=f"Artefact '{name}' of label '{label_id}'",
    )
    return downloads.send_file(state, file, redirect=redirect, if_none_match=if_none_match)
