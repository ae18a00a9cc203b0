"""Reviews: which labels to look at first, and what was decided on them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import ValidationError

from api_schemas.ids import ImageSetId, JobId
from api_schemas.problems import FieldProblem, InputProblem, NotFound, ValidationProblem
from api_schemas.reviews import (
    MAX_NOTE,
    Review,
    ReviewCreate,
    ReviewHistory,
    ReviewItem,
    ReviewOrder,
    ReviewQueue,
)
from domain import jobs as job_use_cases
from domain import quotas, reviews
from domain.image_sets import get_image_set
from domain.reviews import Basis, Decision
from formats.corrected_masks import CorrectedMask, encode_corrected
from formats.errors import InputRefused
from formats.index_png import IGNORE_INDEX, decode_label_png
from service import openapi
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_place, encode_place
from service.principals import Caller, Principal
from service.problems import validation_problem
from service.state import ServiceState, State
from service.strict_json import parse_json
from service.uploads import Upload, fingerprint, read_upload
from storage.catalog import models, review_queue
from storage.catalog import reviews as review_rows
from storage.catalog.review_queue import Place, Waiting
from storage.catalog.tables import ImageRow, LabelRow, ModelVersionRow, ReviewRow

router = APIRouter(prefix="/v1", tags=["reviews"])
MAX_HISTORY: Final = 1000
_DECISIONS: Final[dict[str, Literal["accepted", "rejected"]]] = {
    "accept": "accepted",
    "reject": "rejected",
}


@router.get("/review", summary="Labels to look at, those first from which a look is worth most")
def list_review_queue(
    state: State,
    order_by: Annotated[
        ReviewOrder, Query(description="Highest expected gain, or lowest quality, first")
    ] = "expected_gain",
    job: Annotated[JobId | None, Query(description="Labels of this job")] = None,
    image_set: Annotated[
        ImageSetId | None, Query(description="Labels of the newest job that labelled this set")
    ] = None,
    page_size: PageSize = 100,
    page_token: PageToken = None,
) -> ReviewQueue:
    """Labels that nobody has accepted, rejected or corrected; without `job` and `image_set` of all
    jobs. Labels without a kept pixel have no quality, and are not in that order.
    """
    with state.catalog.read() as session:
        job_id = job
        if job_id is not None:
            job_use_cases.get_job(session, job_id)
        if image_set is not None:
            if job_id is not None:
                raise ValidationProblem("Give either `job` or `image_set`.")
            get_image_set(session, image_set)
            newest = review_queue.newest_labelling_job(session, image_set)
            if newest is None:
                return ReviewQueue(items=[])
            job_id = newest.id
        listing = f"review {order_by} {job} {image_set}"
        place = decode_place(page_token, listing)
        after = Place(place[0], place[1]) if place is not None and place[0] is not None else None
        found = review_queue.page(session, order_by, job_id, after, page_size + 1)
    token = None
    if len(found) > page_size:
        last = found[page_size - 1]
        token = encode_place(listing, getattr(last.item, order_by), last.label.id)
    return ReviewQueue(
        items=[_item(waiting) for waiting in found[:page_size]],
        job=job_id,
        next_page_token=token,
    )


def _item(waiting: Waiting) -> ReviewItem:
    item, label = waiting.item, waiting.label
    base = f"/v1/labels/{label.id}"
    return ReviewItem(
        label=label.id,
        job=item.job_id,
        position=item.position,
        external_id=item.external_id,
        file_name=item.file_name,
        image_digest=label.image_digest,
        width_px=label.width_px,
        height_px=label.height_px,
        expected_gain=min(1.0, max(0.0, item.expected_gain or 0.0)),
        quality=label.quality,
        coverage=label.coverage,
        links={
            "label": base,
            "image": f"/v1/images/{label.image_digest}",
            "review": f"{base}:review",
            **{name: f"{base}/artifacts/{name}" for name in label.artifacts},
        },
    )


def rendered(row: ReviewRow) -> Review:
    """Return the document of a review."""
    links = {"image": f"/v1/images/{row.image_digest}"}
    if row.label_id is not None:
        links["label"] = f"/v1/labels/{row.label_id}"
    if row.corrected_label_id is not None:
        links["corrected_label"] = f"/v1/labels/{row.corrected_label_id}"
    return Review(
        id=row.id,
        label=row.label_id,
        image_digest=row.image_digest,
        decision=row.decision,
        corrected_label=row.corrected_label_id,
        source=row.source,
        job=row.job_id,
        note=row.note,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        created_by=row.created_by,
        links=links,
    )


@router.get("/labels/{label_id}/reviews", summary="What was decided on a label, oldest first")
def list_reviews(label_id: str, state: State) -> ReviewHistory:
    with state.catalog.read() as session:
        reviews.get_label(session, label_id)
        rows = review_rows.reviews_of_label(session, label_id, MAX_HISTORY)
    return ReviewHistory(reviews=[rendered(row) for row in rows])


@router.post(
    "/labels/{label_id}:review",
    status_code=201,
    response_model=Review,
    summary="Accept or reject a label, or put a corrected mask in its place",
    openapi_extra=openapi.REVIEW_BODY,
)
async def create_review(
    label_id: str,
    request: Request,
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """JSON accepts or rejects. A corrected mask comes as `multipart/form-data`: an index PNG of the
    size of the image, with the classes of the label and 255 = ignore. It becomes a label of its
    own.

    The label leaves the review queue. Label sets take corrected and accepted labels in place of all
    others of the image, and leave rejected ones out.
    """
    path = f"/v1/labels/{label_id}:review"
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        asked = _parse(await request.body())
        content: Any = asked.model_dump(mode="json")
        ticket = Ticket(state, idempotency_key, fingerprint_of("POST", path, content))
        return await run_in_threadpool(_decide, state, caller, label_id, asked, ticket)
    fields = {"decision", "note", "stored_ignore_value"}
    async with read_upload(request, state, file_field="file", fields=fields) as upload:
        content = await fingerprint(upload)
        ticket = Ticket(state, idempotency_key, fingerprint_of("POST", path, content))
        return await run_in_threadpool(_correct, state, caller, label_id, upload, ticket)


def _parse(body: bytes) -> ReviewCreate:
    try:
        return ReviewCreate.model_validate(parse_json(body))
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from error


def _decide(
    state: ServiceState, caller: Principal, label_id: str, asked: ReviewCreate, ticket: Ticket
) -> Response:
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        basis = Basis.of(reviews.get_label(session, label_id))
        decision = Decision(_DECISIONS[asked.decision], caller.id, note=asked.note)
        body = rendered(reviews.decide(session, basis, decision)).model_dump_json()
        location = f"/v1/labels/{label_id}/reviews"
        ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


def _correct(
    state: ServiceState, caller: Principal, label_id: str, upload: Upload, ticket: Ticket
) -> Response:
    note, ignore_value = _checked_fields(upload)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        with state.catalog.read() as session:
            row = reviews.get_label(session, label_id)
            image = reviews.image_of(session, row)
            version = models.get_version(session, row.model_version_id)
        if version is None:
            raise NotFound(f"The model of label '{label_id}' is gone.")
        mask = _read_mask(state, upload, row, image, version, ignore_value)
        basis = Basis.of(row)
        corrected = reviews.store_mask(state.objects, basis, mask)
        with state.catalog.write() as session:
            decision = Decision("corrected", caller.id, note=note)
            review = reviews.decide(session, basis, decision, corrected)
            quotas.reserve_bytes(session, state.settings, caller.id, upload.size_bytes)
            body = rendered(review).model_dump_json()
            location = f"/v1/labels/{review.corrected_label_id}"
            ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


def _checked_fields(upload: Upload) -> tuple[str | None, int]:
    decision = upload.fields.get("decision", "correct")
    if decision != "correct":
        raise ValidationProblem(
            "A mask comes with decision=correct. Send JSON to accept or to reject.",
            errors=[FieldProblem(pointer="/decision", detail="correct")],
        )
    if len(upload.files) != 1:
        raise ValidationProblem("Send exactly one mask in the part 'file'.")
    note = upload.fields.get("note")
    if note is not None and len(note) > MAX_NOTE:
        raise ValidationProblem(
            f"note is longer than {MAX_NOTE} characters.",
            errors=[FieldProblem(pointer="/note", detail="too long")],
        )
    text = upload.fields.get("stored_ignore_value", "255")
    if not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise ValidationProblem(
            "stored_ignore_value must be a number from 0 to 255.",
            errors=[FieldProblem(pointer="/stored_ignore_value", detail="0 to 255")],
        )
    return note, int(text)


def _read_mask(
    state: ServiceState,
    upload: Upload,
    row: LabelRow,
    image: ImageRow,
    version: ModelVersionRow,
    ignore_value: int,
) -> CorrectedMask:
    classes = version.ontology["classes"]
    if ignore_value < len(classes):
        raise ValidationProblem(
            f"stored_ignore_value {ignore_value} is a class of the label. Give the value that "
            "means ignore.",
            errors=[FieldProblem(pointer="/stored_ignore_value", detail="a class")],
        )
    data = upload.files[0].file.read()
    try:
        label = decode_label_png(data, state.image_limits, len(classes), ignore_value)
        if label.shape != (image.height_px, image.width_px):
            raise InputRefused(
                "label-invalid",
                f"The mask is {label.shape[1]}×{label.shape[0]} pixels, the image of label "
                f"'{row.id}' {image.width_px}×{image.height_px} (upright). Send it at that size.",
            )
        if (label == IGNORE_INDEX).all():
            raise InputRefused("label-invalid", "The mask has no pixel with a class.")
    except InputRefused as error:
        raise InputProblem(error.code, str(error)) from error
    return encode_corrected(label, [tuple(c["color"]) for c in classes])
