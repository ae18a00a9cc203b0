"""Immutable files of the object store, sent through the API or by a link straight to the store."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Query
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from api_schemas.labels import FileLink
from api_schemas.problems import NotFound
from service.etags import is_current, not_modified
from service.state import ServiceState
from storage.objects import ObjectMissing

# Sent whole, so that a store that fails half way is a 503 and not an answer cut short.
WHOLE_BYTES: Final = 1 << 20
_STORES_OWN: Final = "Where the store has no links (a local folder), the file comes in any case."

Redirect = Annotated[
    bool | None,
    Query(
        description="true: 303 to a link to the store; false: the link as JSON; default: a link "
        f"for large files only. {_STORES_OWN}"
    ),
]


def responses(
    media_type: str, document: type[BaseModel] | None = None
) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says about an endpoint that sends a file.

    Args:
        document: what is in a file that is JSON, where there are such.
    """
    schema = FileLink.model_json_schema()
    if document is not None:
        content = {"$ref": f"#/components/schemas/{document.__name__}"}
        schema = {"anyOf": [schema, content]}
    return {
        200: {
            "description": "The file, or with `redirect=false` a link to it",
            "content": {
                media_type: {},
                "application/json": {"schema": schema},
            },
        },
        303: {"description": "The file is at `Location`, for some minutes"},
        304: {"description": "You have it already"},
    }


@dataclass(frozen=True)
class StoredFile:
    """A file that never changes.

    Attributes:
        etag: without quotes.
        what: how it is named where it is missing, as `Image '…'`.
        save_as: the name under which browsers save it; plain ASCII.
    """

    key: str
    etag: str
    media_type: str
    what: str
    save_as: str | None = None


def send_file(
    state: ServiceState, file: StoredFile, *, redirect: bool | None, if_none_match: str | None
) -> Response:
    """Answer with the file, a link to it, or 304.

    Raises:
        NotFound: the store has it no more.
        StorageUnavailable: the store failed.
    """
    headers = {
        "ETag": f'"{file.etag}"',
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    if file.save_as is not None:
        headers["Content-Disposition"] = f'attachment; filename="{file.save_as}"'
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    try:
        size_bytes = state.objects.size(file.key)
        if redirect is not None or size_bytes >= state.settings.redirect_bytes:
            seconds = state.settings.presigned_seconds
            url = state.objects.presign_get(file.key, seconds, file.media_type)
            if url is not None:
                return _link(url, seconds, as_json=redirect is False)
        headers["Content-Length"] = str(size_bytes)
        if size_bytes <= WHOLE_BYTES:
            data = state.objects.get(file.key)
            return Response(data, headers=headers, media_type=file.media_type)
        pieces = state.objects.open_stream(file.key)
    except ObjectMissing as error:
        raise NotFound(
            f"{file.what} is not in the object store any more. Make it again, or restore the store."
        ) from error
    return StreamingResponse(pieces, headers=headers, media_type=file.media_type)


def _link(url: str, seconds: int, *, as_json: bool) -> Response:
    headers = {"Cache-Control": "no-store"}  # the link ends, the file does not
    if not as_json:
        return Response(status_code=303, headers={**headers, "Location": url})
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    document = FileLink(url=url, expires_at=expires_at)
    return JSONResponse(document.model_dump(mode="json"), headers=headers)
