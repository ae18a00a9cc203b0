"""A bucket of somebody else, or a part of it: list and read, through the guard."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from api_schemas.problems import (
    SourceDenied,
    SourceMissing,
    SourceProblem,
    SourceRefused,
    SourceUnreachable,
)
from storage.remote.fetching import (
    Answer,
    FetchedFile,
    Fetcher,
    FetchLimits,
    OnProgress,
    explain_status,
)
from storage.remote.s3_listing import MAX_PAGE_BYTES, BadListing, ListingPage, error_code, read_page
from storage.remote.s3_signing import S3Credentials, encoded, query_string, signed_headers
from storage.remote.sources import TEST_BYTES, Check, RemoteObject, tried
from storage.remote.urls import has_dot_segments, origin_of, parse_url

PAGE_OBJECTS: Final = 1000
MAX_KEY_BYTES: Final = 1024
MAX_EMPTY_PAGES: Final = 1000  # a store may answer with pages of nothing, but not for ever

_WRONG_CREDENTIALS: Final = {
    "SignatureDoesNotMatch": "the secret_access_key is wrong",
    "InvalidAccessKeyId": "the access_key_id is not known there",
    "ExpiredToken": "the session_token has expired",
    "InvalidToken": "the session_token is wrong",
    "RequestTimeTooSkewed": "the clocks of the two machines differ by more than 15 minutes",
    "AuthorizationHeaderMalformed": "the region is wrong",
    "InvalidObjectState": "the object is in an archive and has to be restored first",
    "AccessDenied": "the credentials do not allow it",
}


@dataclass(frozen=True)
class S3Place:
    """Which bucket, where, and which part of it."""

    bucket: str
    region: str
    endpoint: str | None = None
    prefix: str = ""
    path_style: bool | None = None
    credentials: S3Credentials | None = None

    @property
    def base_url(self) -> str:
        """Address of the bucket, ending in a slash."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        parts = urlsplit(endpoint)
        # a dot in the bucket's name does not fit the certificate of its own host name
        by_path = self.path_style
        if by_path is None:
            by_path = self.endpoint is not None or "." in self.bucket
        if by_path:
            return f"{parts.scheme}://{parts.netloc}/{self.bucket}/"
        return f"{parts.scheme}://{self.bucket}.{parts.netloc}/"


class S3Source:
    """Files of a bucket, by keys relative to the place's prefix."""

    def __init__(self, fetcher: Fetcher, limits: FetchLimits, place: S3Place) -> None:
        self._fetcher = fetcher
        self._limits = limits
        self._place = place
        self._base = parse_url(place.base_url, fetcher.policy)

    def iterate(
        self, prefix: str = "", *, suffixes: Sequence[str] = (), start_after: str | None = None
    ) -> Iterator[RemoteObject]:
        wanted = tuple(suffix.lower() for suffix in suffixes)
        for found in self._objects(prefix, start_after):
            key = found.key.removeprefix(self._place.prefix)
            if key and not key.endswith("/") and (not wanted or key.lower().endswith(wanted)):
                yield replace(found, key=key)

    def open(
        self, reference: str, *, max_bytes: int, on_progress: OnProgress | None = None
    ) -> AbstractContextManager[FetchedFile]:
        key = self._full_key(reference)
        return self._opened(key, replace(self._limits, max_bytes=max_bytes), on_progress)

    def check_reference(self, reference: str) -> None:
        self._full_key(reference)

    def check(self, reference: str | None = None) -> list[Check]:
        """List one page, and read `reference` or the first file found."""
        first: list[RemoteObject] = []

        def list_some() -> str:
            page = self._page(self._place.prefix, None, None)
            first.extend(o for o in page.objects if 0 < o.size_bytes <= TEST_BYTES)
            more = " or more" if page.truncated else ""
            return f"{len(page.objects)} objects{more}"

        def read() -> str:
            key = self._full_key(reference) if reference is not None else first[0].key
            with self._opened(key, replace(self._limits, max_bytes=TEST_BYTES), None) as fetched:
                return f"{fetched.size_bytes} bytes"

        checks = [tried("list", list_some)]
        if reference is not None or first:
            checks.append(tried("read", read))
        return checks

    def close(self) -> None:
        self._fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _full_key(self, reference: str) -> str:
        """Return the key in the bucket that a relative key or an `s3://` URL means.

        Raises:
            SourceRefused: it is outside of this place, or no key.
        """
        place = self._place
        if "://" in reference:
            start = f"s3://{place.bucket}/{place.prefix}"
            if not reference.startswith(start):
                raise SourceRefused(
                    f"The connection reads below {start} only. Use another connection, or a key "
                    "relative to that."
                )
            key = reference.removeprefix(f"s3://{place.bucket}/")
        else:
            key = place.prefix + reference
        return checked_key(key)

    @contextmanager
    def _opened(
        self, key: str, limits: FetchLimits, on_progress: OnProgress | None
    ) -> Iterator[FetchedFile]:
        with self._fetcher.fetch(
            str(self._base) + encoded(key, safe="/"),
            limits=limits,
            headers_for=self._headers_for,
            explain=lambda answer: self._explain(answer, key),
            max_redirects=0,
            on_progress=on_progress,
        ) as fetched:
            name = key.rpartition("/")[2]
            yield replace(fetched, name=name, url=f"s3://{self._place.bucket}/{key}")

    def _objects(self, prefix: str, start_after: str | None) -> Iterator[RemoteObject]:
        """Yield what the store lists, page by page, with full keys.

        Raises:
            SourceUnreachable: it answers with something else, or never comes to an end.
        """
        full_prefix = _checked_prefix(self._place.prefix + prefix)
        start = None if start_after is None else self._place.prefix + start_after
        token: str | None = None
        empty_pages = 0
        while True:
            page = self._page(full_prefix, start, token)
            for found in page.objects:
                if not found.key.startswith(full_prefix):
                    raise _no_listing("lists keys that were not asked for")
                yield found
            if not page.truncated:
                return
            empty_pages = 0 if page.objects else empty_pages + 1
            if page.next_token in (None, "", token) or empty_pages > MAX_EMPTY_PAGES:
                raise _no_listing("does not come to an end with its list")
            token = page.next_token

    def _page(self, prefix: str, start_after: str | None, token: str | None) -> ListingPage:
        parameters = {
            "list-type": "2",
            "max-keys": str(PAGE_OBJECTS),
            "encoding-type": "url",
            "prefix": prefix,
        }
        if token is not None:
            parameters["continuation-token"] = token
        elif start_after is not None:
            parameters["start-after"] = start_after
        with self._fetcher.fetch(
            f"{self._base}?{query_string(parameters)}",
            limits=replace(self._limits, max_bytes=MAX_PAGE_BYTES),
            headers_for=self._headers_for,
            explain=lambda answer: self._explain(answer, None),
            max_redirects=0,
        ) as fetched:
            try:
                return read_page(fetched.file)
            except BadListing as error:
                raise _no_listing("answers a listing with something else") from error

    def _headers_for(self, url: httpx.URL) -> Mapping[str, str]:
        credentials = self._place.credentials
        if credentials is None or origin_of(url) != origin_of(self._base):
            return {}
        return signed_headers(url, credentials, self._place.region)

    def _explain(self, answer: Answer, key: str | None) -> SourceProblem:
        """Return the problem behind an error document of S3."""
        code = error_code(answer.body) or f"status {answer.status}"
        where = f"s3://{self._place.bucket}/{key or ''}"
        if answer.passes:
            return SourceUnreachable(
                f"The store answered {code} for {where}, also when asked again."
            )
        if 300 <= answer.status < 400 or code == "PermanentRedirect":
            region = answer.headers.get("x-amz-bucket-region", "")
            hint = f" It says that the bucket is in '{region[:32]}'." if region else ""
            return SourceRefused(
                f"The store sends us elsewhere for {where}.{hint} Correct the region, endpoint or "
                "path_style of the connection."
            )
        if code in _WRONG_CREDENTIALS or answer.status in (401, 403):
            meaning = _WRONG_CREDENTIALS.get(code, "the credentials do not allow it")
            return SourceDenied(f"The store answered {code} for {where}: {meaning}.")
        if code == "NoSuchBucket":
            return SourceMissing(f"The store has no bucket '{self._place.bucket}'.")
        if answer.status == 404:
            return SourceMissing(f"There is no {where}.")
        return explain_status(answer)


def checked_key(key: str) -> str:
    """Return a key that names an object, and nothing above it.

    Raises:
        SourceRefused: it does not.
    """
    if not key or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES or key.endswith("/"):
        raise SourceRefused(f"The key is empty, a folder, or longer than {MAX_KEY_BYTES} bytes.")
    if has_dot_segments(key) or "\x00" in key or not _is_text(key):
        raise SourceRefused("The key has '.' or '..' as a part, or characters that are none.")
    return key


def _checked_prefix(prefix: str) -> str:
    if len(prefix.encode("utf-8", "replace")) > MAX_KEY_BYTES or not _is_text(prefix):
        raise SourceRefused(f"The prefix is longer than {MAX_KEY_BYTES} bytes, or is not text.")
    return prefix


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_listing(what: str) -> SourceUnreachable:
    return SourceUnreachable(f"The endpoint {what}. Is it an S3 endpoint?")
