"""What a call of the API is: a value that the transports send and parse. No I/O."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

from selvage_client.errors import invalid_input
from selvage_client.multipart import MultipartBody

AnswerT = TypeVar("AnswerT")
EntryT = TypeVar("EntryT")

PAGE_SIZE: Final = 200
UPLOAD_ANSWER_SECONDS: Final = 600.0


Moment = datetime | timedelta | str
Body = Iterable[bytes]  # read while it is sent; every iteration yields the same


@dataclass(frozen=True)
class Call(Generic[AnswerT]):
    """One request. What it carries is not in its repr: it may be a secret.

    Attributes:
        path: below the address of the service; of a call `to_store` the whole address.
        parse: bytes of a good answer → its value; raises `ValidationError` for a strange one.
        answer_seconds: patience for the answer, where it is more than the client's timeout.
        to_store: it goes straight to an object store, and carries nothing that is the service's.
    """

    method: str
    path: str
    parse: Callable[[bytes], AnswerT]
    params: Mapping[str, str | int] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    body: Body | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_seconds: float | None = None
    to_store: bool = False

    @property
    def what(self) -> str:
        """Method and path, for messages; without the query, which may be a signature."""
        return f"{self.method} {self.path.partition('?')[0]}"


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
    handling: str | None = None,
) -> Call[AnswerT]:
    """Return a POST of files, with its length stated and patience for its answer."""
    headers = {
        "Content-Type": body.content_type,
        "Content-Length": str(body.size_bytes),
        **_key(idempotency_key),
    }
    if handling is not None:
        headers["Prefer"] = f"handling={handling}"
    return Call(
        "POST", path, parse, body=body, headers=headers, answer_seconds=UPLOAD_ANSWER_SECONDS
    )


def get(path: str, parse: Callable[[bytes], AnswerT]) -> Call[AnswerT]:
    """Return a GET of one thing."""
    return Call("GET", path, parse)


def delete(path: str, *, force: bool = False) -> Call[None]:
    """Return a DELETE; with `force` what refers to the thing does not protect it."""
    return Call("DELETE", path, nothing, params={"force": "true"} if force else {})


def nothing(_: bytes) -> None:
    """Read the answer of a call that has none."""


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


def moment(name: str, value: Moment | None) -> str | None:
    """Return a point in time as the wire has it; a `timedelta` counts from now.

    Raises:
        InvalidInput: a `datetime` without a zone: nobody knows which hour it means.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, timedelta):
        value = datetime.now(UTC) + value
    if value.tzinfo is None:
        raise invalid_input(
            f"{name} has no time zone. Pass an aware datetime, such as datetime.now(UTC) + "
            "timedelta(hours=2), or the timedelta alone."
        )
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
