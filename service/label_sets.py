"""Label sets: freeze a selection of labels, read it again."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.label_sets import (
    LabelSelection,
    LabelSet,
    LabelSetCreate,
    LabelSetEntry,
    LabelSetEntryPage,
    LabelSetPage,
)
from api_schemas.ontologies import Ontology
from domain import label_sets as use_cases
from service import openapi
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_position, decode_token, encode_token
from service.principals import Caller
from service.state import State
from storage.catalog import label_sets
from storage.catalog.label_sets import Entry
from storage.catalog.tables import LabelSetRow

router = APIRouter(prefix="/v1/label-sets", tags=["label sets"])


def rendered(session: Session, row: LabelSetRow) -> LabelSet:
    """Return the document of a label set."""
    base = f"/v1/label-sets/{row.id}"
    campaign, _, number = (row.made_for or "").partition("/")
    links = {"self": base, "entries": f"{base}/entries"}
    if campaign:
        links["round"] = f"/v1/campaigns/{campaign}/rounds/{number}"
    return LabelSet(
        id=row.id,
        name=row.name,
        status=row.status,
        digest=row.digest,
        ontology=Ontology.model_validate(row.ontology),
        jobs=row.jobs,
        annotation_set=row.annotation_set_id,
        selection=LabelSelection.model_validate(row.selection),
        images=row.images,
        reviewed=row.reviewed,
        missing=label_sets.count_missing(session, row.id),
        quality=row.quality,
        coverage=row.coverage,
        class_pixels=row.class_pixels,
        class_images=row.class_images,
        campaign=campaign or None,
        round=int(number) if number else None,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        created_by=row.created_by,
        links=links,
    )


def _entry(entry: Entry) -> LabelSetEntry:
    row, label = entry.row, entry.label
    links = {"image": f"/v1/images/{row.image_digest}"}
    if label is not None:
        links |= {"label": f"/v1/labels/{label.id}", "lineage": f"/v1/labels/{label.id}/lineage"}
    return LabelSetEntry(
        position=row.position,
        external_id=row.external_id,
        image_digest=row.image_digest,
        label_id=label.id if label else None,
        reviewed=row.reviewed,
        missing=entry.is_missing,
        weight=row.weight,
        quality=label.quality if label else None,
        coverage=label.coverage if label else None,
        links=links,
    )


@router.post("", status_code=201, response_model=LabelSet, summary="Freeze a selection of labels")
def create_label_set(
    request: Annotated[LabelSetCreate, Body(openapi_examples=openapi.LABEL_SET_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Choose labels of jobs that are done, and labels by people. The set never changes: it keeps
    its labels and images, whatever becomes of the jobs.
    """
    fingerprint = fingerprint_of("POST", "/v1/label-sets", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    answers: list[Response] = []

    def finish(session: Session, row: LabelSetRow) -> None:
        body = rendered(session, row).model_dump_json()
        location = f"/v1/label-sets/{row.id}"
        ticket.complete(session, 201, location, body)
        headers = {"Location": location}
        answers.append(Response(body, 201, headers, media_type="application/json"))

    with ticket:
        use_cases.create(state.catalog, request, caller.id, finish)
    return answers[0]


@router.get("", summary="List label sets, newest first")
def list_label_sets(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> LabelSetPage:
    with state.catalog.read() as session:
        rows = label_sets.list_label_sets(session, decode_token(page_token), page_size + 1)
        found = [rendered(session, row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return LabelSetPage(
        label_sets=found,
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/{label_set_id}", summary="One label set, with its figures")
def get_label_set(label_set_id: str, state: State) -> LabelSet:
    with state.catalog.read() as session:
        return rendered(session, use_cases.get_label_set(session, label_set_id))


@router.get("/{label_set_id}/entries", summary="The labels of a set, in order")
def list_entries(
    label_set_id: str, state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> LabelSetEntryPage:
    after = decode_position(page_token)
    with state.catalog.read() as session:
        use_cases.get_label_set(session, label_set_id)
        found = use_cases.entries_of(
            session, label_set_id, after_position=after, limit=page_size + 1
        )
    page = found[:page_size]
    return LabelSetEntryPage(
        entries=[_entry(entry) for entry in page],
        next_page_token=encode_token(page[-1].row.position) if len(found) > page_size else None,
    )
