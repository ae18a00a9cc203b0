"""Reviews: `/v1/review` and `/v1/labels/{id}:review`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api_schemas.jobs import Job
from api_schemas.reviews import (
    Review,
    ReviewCreate,
    ReviewHistory,
    ReviewItem,
    ReviewOrder,
    ReviewQueue,
)
from selvage_client.calls import Call, Listing, Page, get, listing, post, segment, upload
from selvage_client.errors import invalid_fields
from selvage_client.multipart import FilePart, MultipartBody


def queue(order_by: ReviewOrder, job: str | None, image_set: str | None) -> Listing[ReviewItem]:
    """GET /v1/review."""

    def parse(content: bytes) -> Page[ReviewItem]:
        page = ReviewQueue.model_validate_json(content)
        return Page(page.items, page.next_page_token)

    return listing("/v1/review", parse, order_by=order_by, job=job, image_set=image_set)


def decide(
    label_id: str, decision: str, note: str | None, idempotency_key: str | None
) -> Call[Review]:
    """POST /v1/labels/{id}:review, without a mask."""
    fields: dict[str, Any] = {"decision": decision} | ({} if note is None else {"note": note})
    try:
        request = ReviewCreate.model_validate(fields)
    except ValidationError as error:
        raise invalid_fields("review", error) from error
    content = request.model_dump(mode="json", exclude_unset=True)
    return post(f"{_path(label_id)}:review", Review.model_validate_json, content, idempotency_key)


def correct(
    label_id: str, mask: FilePart, note: str | None, idempotency_key: str | None
) -> Call[Review]:
    """POST /v1/labels/{id}:review, with an index PNG."""
    fields = [("decision", "correct")] + ([] if note is None else [("note", note)])
    body = MultipartBody(fields, [("file", mask)])
    return upload(f"{_path(label_id)}:review", Review.model_validate_json, body, idempotency_key)


def history(label_id: str) -> Call[ReviewHistory]:
    """GET /v1/labels/{id}/reviews."""
    return get(f"{_path(label_id)}/reviews", ReviewHistory.model_validate_json)


def import_file(
    file: FilePart, fields: Mapping[str, str | None], idempotency_key: str | None
) -> Call[Job]:
    """POST /v1/imports, with the file."""
    given = [(name, value) for name, value in fields.items() if value is not None]
    body = MultipartBody(given, [("file", file)])
    return upload("/v1/imports", Job.model_validate_json, body, idempotency_key)


def _path(label_id: str) -> str:
    return f"/v1/labels/{segment(label_id)}"
