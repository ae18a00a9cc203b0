"""Image sets: upload files, see what became of each."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from api_schemas.image_sets import (
    EntryStatus,
    ImageSet,
    ImageSetEntry,
    ImageSetEntryPage,
    ImageSetPage,
    ImageSetReport,
)
from api_schemas.problems import NotFound, ValidationProblem
from domain import image_sets as use_cases
from domain.image_sets import Intake
from service import openapi, rendering
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.ingest import ingest
from service.paging import PageSize, PageToken, decode_position, decode_token, encode_token
from service.principals import Caller, Principal
from service.state import ServiceState, State
from service.uploads import Upload, fingerprint, read_upload
from storage.catalog import image_sets
from storage.catalog.tables import ImageRow, ImageSetRow
from storage.objects import image_key

router = APIRouter(prefix="/v1", tags=["image sets"])
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


def report_of(row: ImageSetRow, intake: Intake) -> ImageSetReport:
    """Render a new set with what happened to its first files."""
    files = [
        rendering.image_set_entry(
            entry,
            ImageRow(**intake.images[entry.image_digest]) if entry.image_digest else None,
        )
        for entry in intake.entries[:REPORTED_FILES]
    ]
    return ImageSetReport(**rendering.image_set_report(row, files))


@router.post(
    "/image-sets",
    status_code=201,
    response_model=ImageSetReport,
    summary="Upload images, or zips of images",
    openapi_extra=openapi.multipart_body(
        "files", many=True, fields={"name": openapi.NAME_FIELD}, required=[]
    ),
)
async def create_image_set(
    request: Request, state: State, caller: Caller, idempotency_key: IdempotencyKey = None
) -> Response:
    """Store images and report on every file: accepted, duplicate, or rejected with the reason."""
    async with read_upload(request, state, file_field="files", fields={"name"}) as upload:
        content = await fingerprint(upload)
        ticket = Ticket(state, idempotency_key, fingerprint_of("POST", "/v1/image-sets", content))
        return await run_in_threadpool(_create, state, caller, upload, ticket)


def _create(state: ServiceState, caller: Principal, upload: Upload, ticket: Ticket) -> Response:
    name = checked_name(upload)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        intake = ingest(state, upload, ticket.renew)
        use_cases.store_entries(state.catalog, intake, name, caller.id)
        with state.catalog.write() as session:
            row = use_cases.close(session, intake)
            body = report_of(row, intake).model_dump_json()
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
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> ImageSetEntryPage:
    after = decode_position(page_token)
    with state.catalog.read() as session:
        use_cases.get_image_set(session, image_set_id)
        rows = image_sets.list_entries(
            session, image_set_id, after_position=after, limit=page_size + 1, status=status
        )
        digests = [row.image_digest for row in rows if row.image_digest]
        images = image_sets.get_images(session, digests)
    page = rows[:page_size]
    found: list[ImageSetEntry] = [
        rendering.image_set_entry(row, images.get(row.image_digest or "")) for row in page
    ]
    more = len(rows) > page_size
    return ImageSetEntryPage(
        images=found, next_page_token=encode_token(page[-1].position) if more else None
    )


@router.get(
    "/images/{digest}",
    summary="The bytes of an image as it was uploaded",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}, "description": "The file"}},
)
def get_image(digest: str, state: State) -> StreamingResponse:
    with state.catalog.read() as session:
        row = image_sets.get_image(session, digest)
    if row is None:
        raise NotFound(f"There is no image '{digest[:80]}'. Digests stand in the image set's list.")
    return StreamingResponse(
        state.objects.stream(image_key(digest)),
        media_type=row.media_type,
        headers={
            "ETag": f'"{digest}"',
            "Content-Length": str(row.size_bytes),
            "X-Content-Type-Options": "nosniff",
        },
    )
