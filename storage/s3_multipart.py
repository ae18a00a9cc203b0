"""Multipart uploads on S3 whose parts clients send straight to the store.

The store keeps the parts and knows their ETags; here an upload is begun, its part addresses are
signed, and it is completed or aborted, each by one small request.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httpx

from api_schemas.problems import StorageUnavailable
from storage.object_errors import storage_problem
from storage.s3_signing import Credentials, presign

MIN_PART_BYTES: Final = 5 * 2**20
MAX_PARTS: Final = 10_000
_REQUEST_SECONDS: Final = 60  # how long a signature of our own requests holds
# S3 puts thousands of parts together before it answers.
_COMPLETE_SECONDS: Final = 120.0
_ATTEMPTS: Final = 3


class UploadMissing(LookupError):
    """The store knows no such multipart upload: completed, aborted, or never begun."""


class PartsRefused(ValueError):
    """The store does not accept these parts: too small, or not those that it has."""


@dataclass(frozen=True)
class StoredPart:
    """A part that the store has."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class UnfinishedUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


@dataclass(frozen=True)
class S3Location:
    """A bucket, a prefix in it, and what is needed to sign addresses there."""

    bucket: str
    prefix: str
    region: str
    endpoint: str | None
    public_endpoint: str | None
    credentials: Credentials
    timeout_seconds: float

    def url(self, key: str = "", *, public: bool = False) -> str:
        """Return the address of a key, or of the bucket, unescaped and unsigned."""
        endpoint = (self.public_endpoint if public else None) or self.endpoint
        path = "/".join(part for part in (self.prefix, key) if part) if key else ""
        if endpoint:
            return f"{endpoint.rstrip('/')}/{self.bucket}/{path}".rstrip("/")
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com/{path}"

    def sign(
        self,
        method: str,
        key: str,
        seconds: int,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        public: bool = False,
    ) -> str:
        """Return a presigned address of a key."""
        return presign(
            method,
            self.url(key, public=public),
            credentials=self.credentials,
            region=self.region,
            seconds=seconds,
            query=query,
            headers=headers,
        )


class S3Multipart:
    """Begins, lists, completes and aborts multipart uploads."""

    def __init__(self, location: S3Location, page_parts: int = 1000) -> None:
        self._location = location
        self._page_parts = page_parts

    def create(self, key: str) -> str:
        """Begin an upload and return the store's id of it.

        Raises:
            StorageUnavailable: the store failed.
        """
        answer = self._send("POST", key, {"uploads": ""})
        return _text(answer, "UploadId")

    def part_url(
        self, key: str, upload_id: str, number: int, seconds: int, size_bytes: int | None = None
    ) -> str:
        """Return the address to which a client PUTs part `number` (from 1).

        Args:
            size_bytes: the only Content-Length that the store will take.
        """
        return self._location.sign(
            "PUT",
            key,
            seconds,
            query={"partNumber": str(number), "uploadId": upload_id},
            headers=None if size_bytes is None else {"content-length": str(size_bytes)},
            public=True,
        )

    def parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return the parts that have arrived, by number.

        Raises:
            UploadMissing: there is no such upload.
            StorageUnavailable: the store failed.
        """
        found: list[StoredPart] = []
        marker = "0"
        while True:
            query = {
                "uploadId": upload_id,
                "part-number-marker": marker,
                "max-parts": str(self._page_parts),
            }
            answer = self._send("GET", key, query)
            found += [
                StoredPart(
                    int(_text(part, "PartNumber")), int(_text(part, "Size")), _text(part, "ETag")
                )
                for part in _all(answer, "Part")
            ]
            if _text(answer, "IsTruncated") != "true":
                return sorted(found, key=lambda part: part.number)
            marker = _text(answer, "NextPartNumberMarker")

    def complete(self, key: str, upload_id: str, parts: list[StoredPart]) -> None:
        """Make one object of the parts.

        Raises:
            UploadMissing: there is no such upload (any more).
            PartsRefused: the store does not accept them.
            StorageUnavailable: the store failed; asking again does no harm.
        """
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>"
            for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        answer = self._send("POST", key, {"uploadId": upload_id}, body, seconds=_COMPLETE_SECONDS)
        # The status is sent before the parts are put together; the body has the outcome.
        if _local_name(answer) == "Error":
            raise StorageUnavailable(
                f"The object store could not put the parts together ({_text(answer, 'Code')}). "
                "Try again shortly."
            )

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts; does nothing if it is gone.

        Raises:
            StorageUnavailable: the store failed.
        """
        try:
            self._send("DELETE", key, {"uploadId": upload_id})
        except UploadMissing:
            return

    def unfinished(self) -> Iterator[UnfinishedUpload]:
        """Yield the uploads under our prefix that are neither completed nor aborted.

        Raises:
            StorageUnavailable: the store failed.
        """
        folder = f"{self._location.prefix}/" if self._location.prefix else ""
        markers: dict[str, str] = {}
        while True:
            answer = self._send("GET", "", {"uploads": "", "prefix": folder, **markers})
            for upload in _all(answer, "Upload"):
                key = _text(upload, "Key")
                if not key.startswith(folder):  # not every service minds the prefix
                    continue
                begun_at = datetime.fromisoformat(_text(upload, "Initiated"))
                yield UnfinishedUpload(
                    key.removeprefix(folder), _text(upload, "UploadId"), begun_at
                )
            if _text(answer, "IsTruncated") != "true":
                return
            markers = {
                "key-marker": _text(answer, "NextKeyMarker"),
                "upload-id-marker": _text(answer, "NextUploadIdMarker"),
            }

    def _send(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        body: str = "",
        *,
        seconds: float | None = None,
    ) -> ElementTree.Element:
        url = self._location.sign(method, key, _REQUEST_SECONDS, query=query)
        timeout = httpx.Timeout(seconds or self._location.timeout_seconds, connect=3.0)
        with httpx.Client(timeout=timeout) as client:
            answer = _repeated(client, method, url, body)
        if answer.status_code == 404 and _code(answer) == "NoSuchUpload":
            raise UploadMissing(key)
        if answer.status_code == 400:
            raise PartsRefused(_code(answer))
        if not answer.is_success:
            raise StorageUnavailable(
                f"The object store refused a request ({answer.status_code} {_code(answer)}). "
                "If this stays so, ask the operator to check its credentials."
            )
        return _parsed(answer)


def _repeated(client: httpx.Client, method: str, url: str, body: str) -> httpx.Response:
    """Every request here may be sent twice: a second upload id that nobody uses is collected."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = client.request(method, url, content=body.encode())
            if answer.status_code < 500 or attempt == _ATTEMPTS:
                return answer
        except httpx.TimeoutException as error:
            raise storage_problem(error) from error
        except httpx.TransportError as error:
            if attempt == _ATTEMPTS:
                raise storage_problem(error) from error
    raise AssertionError("the last attempt returns or raises")


def _parsed(answer: httpx.Response) -> ElementTree.Element:
    if not answer.content:
        return ElementTree.Element("Empty")
    try:
        return ElementTree.fromstring(answer.content)
    except ElementTree.ParseError as error:
        raise storage_problem(error) from error


def _code(answer: httpx.Response) -> str:
    """The store's own word for an error; never its whole text, which shows addresses."""
    try:
        return _text(ElementTree.fromstring(answer.content), "Code")[:64]
    except (ElementTree.ParseError, StorageUnavailable):
        return "no reason given"


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local_name(child) == name]


def _text(element: ElementTree.Element, name: str) -> str:
    for child in _all(element, name):
        return child.text or ""
    if name == "IsTruncated":
        return "false"
    raise StorageUnavailable(f"The object store's answer has no {name}. Try again shortly.")
