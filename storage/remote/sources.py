"""Places that files come from: plain URLs, a web server with credentials, a bucket."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self

import httpx

from api_schemas.problems import ProblemError, SourceMissing, SourceProblem, SourceRefused
from storage.remote.fetching import FetchedFile, Fetcher, FetchLimits, OnProgress
from storage.remote.urls import has_dot_segments, origin_of, parse_url

TEST_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class RemoteObject:
    """One file of a listing. `key` is foreign text: clean it before it becomes a name of ours."""

    key: str
    size_bytes: int
    etag: str | None = None


@dataclass(frozen=True)
class Check:
    """One thing that a test of a source tried."""

    name: str
    problem: ProblemError | None
    seconds: float
    note: str = ""


class RemoteSource(Protocol):
    """Where an ingest reads from. Close it, or use it in a `with` block."""

    def iterate(
        self, prefix: str = "", *, suffixes: Sequence[str] = (), start_after: str | None = None
    ) -> Iterator[RemoteObject]:
        """Yield the files below `prefix`, page by page.

        Args:
            suffixes: only keys that end so, in upper or lower case; empty takes all.
            start_after: the last key seen before, to go on from there.

        Raises:
            SourceProblem: it cannot be listed.
        """
        ...

    def open(
        self, reference: str, *, max_bytes: int, on_progress: OnProgress | None = None
    ) -> AbstractContextManager[FetchedFile]:
        """Fetch one file for the time of a `with` block.

        Raises:
            SourceProblem: why there is no file.
            OSError: the disk is full.
        """
        ...

    def check_reference(self, reference: str) -> None:
        """Raise SourceRefused unless `reference` is one that could be opened; asks nobody."""
        ...

    def check(self, reference: str | None = None) -> list[Check]:
        """Try the source out: list it, and read `reference` or the first file found."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class UrlSource:
    """Files by URL, without credentials."""

    def __init__(self, fetcher: Fetcher, limits: FetchLimits) -> None:
        self._fetcher = fetcher
        self._limits = limits

    def iterate(
        self, prefix: str = "", *, suffixes: Sequence[str] = (), start_after: str | None = None
    ) -> Iterator[RemoteObject]:
        raise SourceRefused(
            "A web server has no list of its files. Name them one by one, or by a manifest."
        )

    def open(
        self, reference: str, *, max_bytes: int, on_progress: OnProgress | None = None
    ) -> AbstractContextManager[FetchedFile]:
        return self._fetcher.fetch(
            str(self._resolved(reference)),
            limits=replace(self._limits, max_bytes=max_bytes),
            headers_for=self._headers_for,
            on_progress=on_progress,
        )

    def check_reference(self, reference: str) -> None:
        self._resolved(reference)

    def check(self, reference: str | None = None) -> list[Check]:
        return [] if reference is None else [self._read(reference)]

    def close(self) -> None:
        self._fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _resolved(self, reference: str) -> httpx.URL:
        return parse_url(reference, self._fetcher.policy)

    def _headers_for(self, url: httpx.URL) -> Mapping[str, str]:
        return {}

    def _read(self, reference: str) -> Check:
        def read() -> str:
            with self.open(reference, max_bytes=TEST_BYTES) as fetched:
                return f"{fetched.size_bytes} bytes"

        return tried("read", read)


class HttpSource(UrlSource):
    """A web server below one address; its credentials are shown to nothing outside of it."""

    def __init__(
        self, fetcher: Fetcher, limits: FetchLimits, base_url: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(fetcher, limits)
        self._base = parse_url(base_url, fetcher.policy)
        self._headers = dict(headers)

    def check(self, reference: str | None = None) -> list[Check]:
        """Read `reference`, or see whether the base address answers at all."""
        if reference is not None:
            return [self._read(reference)]
        found = self._read("")
        if isinstance(found.problem, SourceMissing):
            note = "The server answers. It has no page at base_url, which is no harm."
            return [replace(found, name="reach", problem=None, note=note)]
        return [replace(found, name="reach")]

    def _resolved(self, reference: str) -> httpx.URL:
        if "://" not in reference.partition("?")[0]:
            reference = str(self._base) + reference.lstrip("/")
        url = super()._resolved(reference)
        if not self._is_below_base(url):
            raise SourceRefused(
                f"The URL is not below the connection's base_url, {self._base}. "
                "Leave the connection out for other addresses."
            )
        return url

    def _headers_for(self, url: httpx.URL) -> Mapping[str, str]:
        return self._headers if self._is_below_base(url) else {}

    def _is_below_base(self, url: httpx.URL) -> bool:
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        base = self._base.raw_path.decode("ascii")
        return (
            origin_of(url) == origin_of(self._base)
            and path.startswith(base)
            and not has_dot_segments(path)
        )


def tried(name: str, action: Callable[[], str]) -> Check:
    """Run one step of a test; `action` returns a note."""
    started = time.monotonic()
    problem: SourceProblem | None = None
    note = ""
    try:
        note = action()
    except SourceProblem as found:
        problem = found
    return Check(name, problem, time.monotonic() - started, note)
