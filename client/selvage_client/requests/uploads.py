"""Resumable uploads: `/v1/uploads`, and the parts of one, wherever they go."""

from pydantic import ValidationError

from api_schemas.uploads import (
    StoredPart,
    Upload,
    UploadCreate,
    UploadPage,
    UploadPart,
    UploadStatus,
    UploadSummary,
)
from selvage_client.calls import (
    UPLOAD_ANSWER_SECONDS,
    Body,
    Call,
    Listing,
    Page,
    delete,
    get,
    listing,
    nothing,
    post,
    segment,
)
from selvage_client.errors import invalid_fields

# Presigned addresses live a quarter of an hour, so few are fetched at a time.
PARTS_AT_A_TIME = 16


def create(
    file_name: str,
    size_bytes: int,
    sha256: str | None = None,
    part_bytes: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Upload]:
    """POST /v1/uploads."""
    given = {
        "file_name": file_name,
        "size_bytes": size_bytes,
        "sha256": sha256,
        "part_bytes": part_bytes,
    }
    try:
        request = UploadCreate.model_validate(given)
    except ValidationError as error:
        raise invalid_fields("upload", error) from error
    content = request.model_dump(mode="json", exclude_none=True)
    return post("/v1/uploads", Upload.model_validate_json, content, idempotency_key)


def uploads(status: UploadStatus | None) -> Listing[UploadSummary]:
    """GET /v1/uploads."""

    def parse(content: bytes) -> Page[UploadSummary]:
        page = UploadPage.model_validate_json(content)
        return Page(page.uploads, page.next_page_token)

    return listing("/v1/uploads", parse, status=status)


def upload(upload_id: str) -> Call[Upload]:
    """GET /v1/uploads/{id}, with the first page of its parts."""
    return get(_path(upload_id), Upload.model_validate_json)


def parts(upload_id: str) -> Listing[UploadPart]:
    """GET /v1/uploads/{id}, for its parts, each with a fresh address."""

    def parse(content: bytes) -> Page[UploadPart]:
        page = Upload.model_validate_json(content)
        return Page(page.parts, page.next_page_token)

    return Listing(Call("GET", _path(upload_id), parse, params={"page_size": PARTS_AT_A_TIME}))


def put_part(upload_id: str, number: int, body: Body, size_bytes: int) -> Call[StoredPart]:
    """PUT /v1/uploads/{id}/parts/{n}."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    return Call(
        "PUT",
        f"{_path(upload_id)}/parts/{number}",
        StoredPart.model_validate_json,
        body=body,
        headers=headers,
        answer_seconds=UPLOAD_ANSWER_SECONDS,
    )


def send_part(part: UploadPart, body: Body) -> Call[None]:
    """PUT a part where it goes: to a path of the service, or straight to a store."""
    return Call(
        "PUT",
        part.url or "",
        nothing,
        body=body,
        headers={**part.headers, "Content-Length": str(part.size_bytes)},
        answer_seconds=UPLOAD_ANSWER_SECONDS,
        to_store=goes_to_store(part),
    )


def goes_to_store(part: UploadPart) -> bool:
    """Return whether the bytes of a part go past the service."""
    return (part.url or "").startswith(("http://", "https://"))


def complete(upload_id: str) -> Call[Upload]:
    """POST /v1/uploads/{id}:complete."""
    call = post(f"{_path(upload_id)}:complete", Upload.model_validate_json, None, None)
    return Call(
        call.method,
        call.path,
        call.parse,
        headers=call.headers,
        answer_seconds=UPLOAD_ANSWER_SECONDS,
    )


def delete_upload(upload_id: str) -> Call[None]:
    """DELETE /v1/uploads/{id}."""
    return delete(_path(upload_id))


def _path(upload_id: str) -> str:
    return f"/v1/uploads/{segment(upload_id)}"
