"""Events as the bytes of a server-sent stream, encoded once for all clients."""

import json
from dataclasses import dataclass
from typing import Final

from fastapi.sse import format_sse_event

from storage.catalog.events import Event

RETRY_MILLISECONDS: Final = 3000
KEEP_ALIVE: Final = b": keep-alive\n\n"


@dataclass(frozen=True)
class Line:
    """One event on the wire."""

    seq: int
    type: str
    data: bytes


def encode(event: Event) -> Line:
    document = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    data = format_sse_event(data_str=document, event=event.type, id=str(event.seq))
    return Line(event.seq, event.type, data)


def opening_line(seq: int | None) -> bytes:
    """How long a client shall pause before it comes again, and where it is, if nothing tells it."""
    return format_sse_event(id=None if seq is None else str(seq), retry=RETRY_MILLISECONDS)
