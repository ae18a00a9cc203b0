"""Images of Label Studio's tasks: by which names they may be known, and where they are fetched."""

import re
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from formats.label_setup import LABEL_STUDIO_IMAGE

_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(.+)")  # put before an upload's name
_NAMES_OF_OURS: Final = ("external_id", "file_name")
_MAX_CHARS: Final = 4096


def names_of_image(task: Any, image_key: str | None = None) -> tuple[str, ...]:
    """Return names of the image of a task, with suffix; the address itself is the first, if any.

    >>> names_of_image({"data": {"image": "s3://b/night/a.jpg"}})
    ('s3://b/night/a.jpg', 'night/a.jpg', 'a.jpg')
    """
    data = task.get("data") if isinstance(task, dict) else None
    meta = task.get("meta") if isinstance(task, dict) else None
    data = data if isinstance(data, dict) else {}
    meta = meta if isinstance(meta, dict) else {}
    address = data.get(image_key or LABEL_STUDIO_IMAGE)
    if not isinstance(address, str):
        texts = [value for value in data.values() if isinstance(value, str)]
        address = texts[0] if len(texts) == 1 else ""
    if len(address) > _MAX_CHARS:
        return ()
    found = [address]
    found += [str(place[key]) for key in _NAMES_OF_OURS for place in (meta, data) if key in place]
    found += _tails(address)
    return tuple(dict.fromkeys(name[:_MAX_CHARS] for name in found))


def _tails(address: str) -> list[str]:
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        return []
    path = local[0] if local else unquote(parts.path)
    pieces = [piece for piece in path.split("/") if piece]
    tails = ["/".join(pieces[start:]) for start in range(len(pieces))]
    uploaded = _UPLOADED.fullmatch(pieces[-1]) if pieces else None
    return tails + ([uploaded[1]] if uploaded else [])


def fetch_reference(
    address: str, base_url: str | None
) -> tuple[Literal["connection", "open"], str] | None:
    """Return where an image is fetched from, and by which URL; None where that is not known.

    Paths, and URLs below `base_url`, are of Label Studio itself and asked for with its token; other
    web addresses without any credentials. Buckets are not read: their images go into the image set.
    """
    if address.startswith("/") and not address.startswith("//") and base_url is not None:
        return "connection", base_url.rstrip("/") + address
    if not address.lower().startswith(("http://", "https://")):
        return None
    base = base_url.rstrip("/") + "/" if base_url is not None else None
    return ("connection" if base is not None and address.startswith(base) else "open"), address
