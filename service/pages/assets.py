"""GET /assets/…: the scripts, styles and pictures of the pages."""

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from api_schemas.problems import NotFound
from service.etags import IfNoneMatch, is_current, not_modified

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).parent / "assets"
MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Read once: there are few, and a name from outside never becomes a path.
_FILES: Final = {
    path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES
}


@router.get("/assets/{name}")
def get_asset(name: str, if_none_match: IfNoneMatch = None) -> Response:
    data = _FILES.get(name)
    if data is None:
        raise NotFound("There is no such file.")
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_current(if_none_match, etag):
        return not_modified(headers)
    return Response(data, 200, headers, media_type=MEDIA_TYPES[Path(name).suffix])
