"""Image sets: upload files, see what became of each."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.image_sets import (
    EntryStatus,
    ImageSet,
    ImageSetCreated,
    ImageSetEntry,
    ImageSetEntryPage,
    ImageSetPage,
    ImageSetReport,
)
from api_schemas.problems import NotFound, ValidationProblem
from domain import image_sets as use_cases
from service import downloads, openapi, rendering
from service.downloads import Redirect
from service.etags import IfNoneMatch
from service.filters import ENTRY_FIELDS, parse_filter
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.ingest import ingest, new_set
from service.paging import PageSize, PageToken, decode_position, decode_token, encode_token
from service.preferences import Prefer, Preferences
from service.principals import Caller, Principal
from service.remote_sets import create_remote_set, parse_request
from service.state import ServiceState, State
from service.strictness import refuse_rejected
from service.uploads import Upload, fingerprint, read_upload
from service.waiting import WaitingRoute
from storage.catalog import image_sets
from storage.catalog.filtering import ENTRY_CONDITIONS, conditions_of
from storage.catalog.tables import ImageSetEntryRow, ImageSetRow
from storage.objects import image_key

router = APIRouter(prefix="/v1", tags=["image sets"], route_class=WaitingRoute)
MAX_NAME = 256
REPORTED_FILES = 1000


def checked_name(upload: Upload) -> str | None:
    """Return the `name` field of an upload.

    Raises:
        ValidationProblem: too long.
    """
    name = upload.fields.get("name")
    if name is not None and len(name) > MAX_NAME:
        raise ValidationProblem(f"name is longer than {MAX_NAME} characters.")
    return name


def report_of(session: Session, row: ImageSetRow) -> ImageSetReport:
    """Render a new set with what happened to its first files."""
    entries = image_sets.list_entries(session, row.id, limit=REPORTED_FILES)
    return ImageSetReport(**rendering.image_set_report(row, _rendered(session, entries)))


def _rendered(session: Session, entries: list[ImageSetEntryRow]) -> list[ImageSetEntry]:
    digests = [entry.image_digest for entry in entries if entry.image_digest]
    images = image_sets.get_images(session, digests)
    return [
        rendering.image_set_entry(entry, images.get(entry.image_digest or "")) for entry in entries
    ]


@router.post(
    "/image-sets",
    status_code=201,
    response_model=ImageSetReport,
    summary="Upload images or archives of images, or say where they are",
    responses={202: {"model": ImageSetCreated, "description": "A job fetches the images"}},
    openapi_extra=openapi.IMAGE_SET_BODY,
)
async def create_image_set(
    request: Request,
    state: State,
    caller: Caller,
    preferences: Prefer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make a set of images.

    Files in the request (`multipart/form-data`; zip, tar and tar.gz are opened) are stored within
    it: the answer is 201 with a report on each. With JSON a job fetches the images from URLs, a
    bucket, a manifest or a resumable upload: the answer is 202 with the set and the job.

    With `Prefer: handling=strict` one bad file in the request is enough to refuse all of it.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == "application/json":
        asked = parse_request(await request.body())
        return await run_in_threadpool(create_remote_set, state, caller, asked, idempotency_key)
    async with read_upload(request, state, file_field="files", fields={"name"}) as upload:
        content = await fingerprint(upload)
        ticket = Ticket(state, idempotency_key, fingerprint_of("POST", "/v1/image-sets", content))
        response = await run_in_threadpool(_create, state, caller, upload, ticket, preferences)
        response.headers.update(preferences.applied("handling"))
        return response


def _create(
    state: ServiceState,
    caller: Principal,
    upload: Upload,
    ticket: Ticket,
    preferences: Preferences,
) -> Response:
    name = checked_name(upload)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, new_set(state, name, caller.id, upload.size_bytes) as intake:
        ingest(state, upload, intake, ticket.renew)
        with state.catalog.write() as session:
            row = use_cases.close(session, intake.image_set_id)
            refuse_rejected(session, row, preferences)
            body = report_of(session, row).model_dump_json()
            location = f"/v1/image-sets/{row.id}"
            ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("/image-sets", summary="List image sets, newest first")
def list_image_sets(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> ImageSetPage:
    with state.catalog.read() as session:
        rows = image_sets.list_image_sets(session, decode_token(page_token), page_size + 1)
    more = len(rows) > page_size
    return ImageSetPage(
        image_sets=[rendering.image_set(row) for row in rows[:page_size]],
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/image-sets/{image_set_id}", summary="One image set with its counts")
def get_image_set(image_set_id: str, state: State) -> ImageSet:
    with state.catalog.read() as session:
        return rendering.image_set(use_cases.get_image_set(session, image_set_id))


@router.get("/image-sets/{image_set_id}/images", summary="What became of each uploaded file")
def list_images(
    image_set_id: str,
    state: State,
    status: Annotated[EntryStatus | None, Query(description="Only these")] = None,
    filter: Annotated[str | None, Query(**openapi.ENTRY_FILTER)] = None,  # noqa: A002
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> ImageSetEntryPage:
    after = decode_position(page_token)
    where = conditions_of(parse_filter(filter, ENTRY_FIELDS), ENTRY_CONDITIONS)
    with state.catalog.read() as session:
        use_cases.get_image_set(session, image_set_id)
        rows = image_sets.list_entries(
            session,
            image_set_id,
            after_position=after,
            limit=page_size + 1,
            status=status,
            where=where,
        )
        found = _rendered(session, rows[:page_size])
    more = len(rows) > page_size
    return ImageSetEntryPage(
        images=found, next_page_token=encode_token(rows[page_size - 1].position) if more else None
    )


@router.get(
    "/images/{digest}",
    summary="The bytes of an image as it was uploaded",
    response_class=Response,
    responses=downloads.responses("image/*"),
)
def get_image(
    digest: str, state: State, redirect: Redirect = None, if_none_match: IfNoneMatch = None
) -> Response:
    with state.catalog.read() as session:
        row = image_sets.get_image(session, digest)
    if row is None:
        raise NotFound(f"There is no image '{digest[:80]}'. Digests stand in the image set's list.")
    file = downloads.StoredFile(image_key(digest), digest, row.media_type, f"Image '{digest}'")
    return downloads.send_file(state, file, redirect=redirect, if_none_match=if_none_match)
