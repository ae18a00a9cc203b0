"""Ontologies: immutable classes, and what labelling tools are told about them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path
from fastapi.responses import JSONResponse, Response

from api_schemas.models import REGION_MODEL_KIND
from api_schemas.ontologies import (
    CvatLabel,
    Ontology,
    OntologyCreate,
    OntologyEntry,
    OntologyPage,
    StoredOntology,
)
from api_schemas.problems import ModelNotReady, NotFound
from domain import models as model_use_cases
from domain import ontologies as use_cases
from formats.class_palettes import cvat_names, distinct_colours
from formats.label_setup import cvat_labels, label_studio_config
from service import openapi
from service.etags import IfNoneMatch, is_current, not_modified
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.path_types import VERSION
from service.principals import Caller
from service.state import ServiceState, State
from storage.catalog import ontologies
from storage.catalog.tables import OntologyRow

router = APIRouter(prefix="/v1", tags=["ontologies"])
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]
XML: Final = "application/xml"
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have it: see your ETag"}}
XML_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {XML: {}}, "description": "The configuration"},
    **NOT_MODIFIED,
}


def _completed(request: OntologyCreate) -> tuple[OntologyEntry, ...]:
    """Fill in ids and colours that were left out."""
    colours = distinct_colours([c.color for c in request.classes])
    return tuple(
        OntologyEntry(
            id=place,
            name=c.name,
            kind=c.kind,
            color=colour,
            aliases=c.aliases,
            train_id=c.train_id,
        )
        for place, (c, colour) in enumerate(zip(request.classes, colours, strict=True))
    )


def _rendered(row: OntologyRow) -> StoredOntology:
    classes = tuple(OntologyEntry.model_validate(c) for c in row.document["classes"])
    names = [c.name for c in classes]
    base = f"/v1/ontologies/{row.id}"
    return StoredOntology(
        id=row.id,
        name=row.name,
        digest=row.digest,
        classes=classes,
        notes=[
            f"'{name}' is called '{plain}' in CVAT, whose mask files cannot hold a ':'."
            for name, plain in zip(names, cvat_names(names), strict=True)
            if name != plain
        ],
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        created_by=row.created_by,
        links={
            "self": base,
            "label_studio_config": f"{base}/label-studio-config",
            "cvat_labels": f"{base}/cvat-labels",
        },
    )


@router.post(
    "/ontologies",
    status_code=201,
    response_model=StoredOntology,
    summary="Store the classes of a project",
    responses={200: {"model": StoredOntology, "description": "This content was stored before"}},
)
def create_ontology(
    request: Annotated[OntologyCreate, Body(openapi_examples=openapi.ONTOLOGY_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store classes with names, colours and aliases. The same content gets the same id (200)."""
    fingerprint = fingerprint_of("POST", "/v1/ontologies", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    replayed = ticket.replay()
    if replayed is not None:
        return replayed
    with ticket, state.catalog.write() as session:
        row, is_new = use_cases.create(session, request.name, _completed(request), caller.id)
        body, location = _rendered(row).model_dump_json(), f"/v1/ontologies/{row.id}"
        status = 201 if is_new else 200
        ticket.complete(session, status, location, body)
    return Response(body, status, {"Location": location}, media_type="application/json")


@router.get("/ontologies", summary="List ontologies, newest first")
def list_ontologies(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> OntologyPage:
    with state.catalog.read() as session:
        rows = ontologies.list_ontologies(session, decode_token(page_token), page_size + 1)
    more = len(rows) > page_size
    return OntologyPage(
        ontologies=[_rendered(row) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get(
    "/ontologies/{ontology_id}",
    response_model=StoredOntology,
    summary="One ontology",
    responses=NOT_MODIFIED,
)
def get_ontology(ontology_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    row = _row(state, ontology_id)
    body = _rendered(row).model_dump_json()
    return _immutable(body, "application/json", row.digest, if_none_match)


@router.get(
    "/ontologies/{ontology_id}/label-studio-config",
    response_class=Response,
    responses=XML_RESPONSES,
    summary="The labelling configuration of a Label Studio project",
)
def get_label_studio_config(
    ontology_id: str, state: State, if_none_match: IfNoneMatch = None
) -> Response:
    row = _row(state, ontology_id)
    return _label_studio(row.document["classes"], row.digest, if_none_match)


@router.get(
    "/ontologies/{ontology_id}/cvat-labels",
    response_model=list[CvatLabel],
    responses=NOT_MODIFIED,
    summary='The labels of a CVAT task, for its field "Raw"',
)
def get_cvat_labels(ontology_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    row = _row(state, ontology_id)
    return _cvat(row.document["classes"], row.digest, if_none_match)


@router.get(
    f"/models/{{name}}/versions/{VERSION}/ontology",
    response_model=Ontology,
    responses=NOT_MODIFIED,
    summary="The classes of a model version",
)
def get_model_ontology(
    name: str, number: VersionNumber, state: State, if_none_match: IfNoneMatch = None
) -> Response:
    document, digest = _model_classes(state, name, number)
    body = Ontology.model_validate(document).model_dump_json()
    return _immutable(body, "application/json", digest, if_none_match)


@router.get(
    f"/models/{{name}}/versions/{VERSION}/ontology/label-studio-config",
    response_class=Response,
    responses=XML_RESPONSES,
    summary="The labelling configuration of a Label Studio project for a model's classes",
)
def get_model_label_studio_config(
    name: str, number: VersionNumber, state: State, if_none_match: IfNoneMatch = None
) -> Response:
    document, digest = _model_classes(state, name, number)
    return _label_studio(document["classes"], digest, if_none_match)


@router.get(
    f"/models/{{name}}/versions/{VERSION}/ontology/cvat-labels",
    response_model=list[CvatLabel],
    responses=NOT_MODIFIED,
    summary="The labels of a CVAT task for a model's classes",
)
def get_model_cvat_labels(
    name: str, number: VersionNumber, state: State, if_none_match: IfNoneMatch = None
) -> Response:
    document, digest = _model_classes(state, name, number)
    return _cvat(document["classes"], digest, if_none_match)


def _row(state: ServiceState, ontology_id: str) -> OntologyRow:
    with state.catalog.read() as session:
        return use_cases.get_ontology(session, ontology_id)


def _model_classes(state: ServiceState, name: str, number: int) -> tuple[dict[str, Any], str]:
    with state.catalog.read() as session:
        version = model_use_cases.get_version(session, name, number)
    if version.kind == REGION_MODEL_KIND:
        raise NotFound(f"'{name}:{number}' is a region model: it has no classes.")
    if not version.ontology.get("classes"):
        raise ModelNotReady(
            f"The classes of '{name}:{number}' are not known; the version is {version.status}."
        )
    return version.ontology, version.digest


def _names_and_colours(
    classes: list[dict[str, Any]],
) -> tuple[list[str], list[tuple[int, int, int]]]:
    return [c["name"] for c in classes], [tuple(c["color"]) for c in classes]


def _label_studio(classes: list[dict[str, Any]], digest: str, tag: str | None) -> Response:
    return _immutable(label_studio_config(*_names_and_colours(classes)), XML, digest, tag)


def _cvat(classes: list[dict[str, Any]], digest: str, tag: str | None) -> Response:
    body = JSONResponse(cvat_labels(*_names_and_colours(classes))).body
    return _immutable(bytes(body), "application/json", digest, tag)


def _immutable(
    body: str | bytes, media_type: str, digest: str, if_none_match: str | None
) -> Response:
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=86400"}
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    return Response(body, 200, headers, media_type=media_type)
