"""What a call of the API is: a value that the transports send and parse. No I/O."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

from selvage_client.multipart import MultipartBody

AnswerT = TypeVar("AnswerT")
EntryT = TypeVar("EntryT")

PAGE_SIZE: Final = 200
UPLOAD_ANSWER_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Call(Generic[AnswerT]):
    """One request.

    Attributes:
        parse: bytes of a good answer → its value; raises `ValidationError` for a strange one.
        answer_seconds: patience for the answer, where it is more than the client's timeout.
    """

    method: str
    path: str
    parse: Callable[[bytes], AnswerT]
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = None
    body: MultipartBody | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_seconds: float | None = None

    @property
    def what(self) -> str:
        """Method and path, for messages."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Page(Generic[EntryT]):
    """One page of a listing."""

    entries: Sequence[EntryT]
    next_page_token: str | None


@dataclass(frozen=True)
class Listing(Generic[EntryT]):
    """A listing that is read page by page."""

    first: Call[Page[EntryT]]

    def page(self, token: str | None) -> Call[Page[EntryT]]:
        """Return the call for the page of this token; None means the first page."""
        if token is None:
            return self.first
        return replace(self.first, params={**self.first.params, "page_token": token})


def post(
    path: str, parse: Callable[[bytes], AnswerT], content: Any, idempotency_key: str | None
) -> Call[AnswerT]:
    """Return a POST of JSON (None: of nothing); without a key it gets a fresh one."""
    return Call("POST", path, parse, json=content, headers=_key(idempotency_key))


def upload(
    path: str,
    parse: Callable[[bytes], AnswerT],
    body: MultipartBody,
    idempotency_key: str | None,
) -> Call[AnswerT]:
    """Return a POST of files, with its length stated and patience for its answer."""
    headers = {
        "Content-Type": body.content_type,
        "Content-Length": str(body.size_bytes),
        **_key(idempotency_key),
    }
    return Call(
        "POST", path, parse, body=body, headers=headers, answer_seconds=UPLOAD_ANSWER_SECONDS
    )


def listing(
    path: str, parse: Callable[[bytes], Page[EntryT]], **filters: str | None
) -> Listing[EntryT]:
    """Return a listing; filters that are None are left out."""
    given: dict[str, str | int] = {name: value for name, value in filters.items() if value}
    return Listing(Call("GET", path, parse, params={"page_size": PAGE_SIZE, **given}))


def _key(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that lets the service see that a second POST is the first one again."""
    return {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}


def segment(value: str) -> str:
    """Return a value as one segment of a path, whatever characters it has."""
    return quote(value, safe="")
