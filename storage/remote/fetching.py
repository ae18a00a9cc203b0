"""One GET of a file elsewhere, onto local disk, within limits."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Final, cast

import httpcore
import httpx

from api_schemas.problems import (
    SourceDenied,
    SourceMissing,
    SourceProblem,
    SourceRefused,
    SourceTooLarge,
    SourceUnreachable,
)
from storage.remote.addresses import AddressPolicy
from storage.remote.network import Deadline, GuardedBackend, Resolver, deadline, resolve
from storage.remote.urls import last_segment, parse_url, shown

MEMORY_BYTES: Final = 1 << 20
ATTEMPTS: Final = 3
PAUSES_SECONDS: Final = (0.2, 1.0)
MAX_REDIRECTS: Final = 5
MAX_ERROR_BYTES: Final = 16 << 10
SLOWEST_BYTES_PER_SECOND: Final = 256 << 10  # once bytes flow; what is slower runs out of time
MAX_CONNECTIONS: Final = 32
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class FetchLimits:
    """How much one file may cost.

    Attributes:
        max_bytes: largest body.
        total_seconds: for everything but the body's own bytes at a tolerable speed.
        idle_seconds: longest silence.
    """

    max_bytes: int
    total_seconds: float = 120.0
    idle_seconds: float = 15.0


@dataclass(frozen=True)
class FetchedFile:
    """A file that came from elsewhere; `file` stands at its start and closes with its block."""

    file: IO[bytes]
    size_bytes: int
    sha256: str
    media_type: str | None
    name: str
    url: str


@dataclass(frozen=True)
class Answer:
    """What came instead of the file."""

    url: httpx.URL
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def passes(self) -> bool:
        """Whether asking again may help."""
        return self.status in _PASSING


HeadersFor = Callable[[httpx.URL], Mapping[str, str]]
Explain = Callable[[Answer], SourceProblem]
OnProgress = Callable[[int], None]


class _Passing(Exception):
    """Something went wrong that may not go wrong again; `problem` says what."""

    def __init__(self, problem: SourceProblem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def no_headers(_: httpx.URL) -> Mapping[str, str]:
    """No credentials."""
    return {}


def explain_status(answer: Answer) -> SourceProblem:
    """Return the problem that a status stands for."""
    said = f"{shown(answer.url)} answered with status {answer.status}"
    if answer.status in (401, 403, 407):
        return SourceDenied(f"{said}. Check the credentials of the connection.")
    if answer.status in (404, 410):
        return SourceMissing(f"{said}. Check the address.")
    if answer.passes:
        return SourceUnreachable(f"{said}, also when asked again.")
    return SourceRefused(f"{said}; only 200 brings a file.")


class Fetcher:
    """Fetches files through the guard. Safe to share between threads; not across a fork.

    Knows no proxies, no cookies, no `.netrc`: nothing of this machine's environment.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self.policy = policy
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS // 2,
            keepalive_expiry=20.0,
            network_backend=GuardedBackend(policy, resolver),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def fetch(
        self,
        url: str,
        *,
        limits: FetchLimits,
        headers_for: HeadersFor = no_headers,
        explain: Explain = explain_status,
        max_redirects: int = MAX_REDIRECTS,
        on_progress: OnProgress | None = None,
    ) -> Iterator[FetchedFile]:
        """GET a file, in memory up to 1 MiB and beyond that in an unnamed file.

        Args:
            headers_for: called for every request with its URL, also for redirects; decides who
                sees credentials.
            explain: turns an answer other than 200 into a problem.
            on_progress: called with the bytes received so far, about once a piece.

        Raises:
            SourceProblem: why there is no file.
            OSError: the disk is full.
        """
        with SpooledTemporaryFile(max_size=MEMORY_BYTES) as spool:
            file = cast(IO[bytes], spool)
            request = _Request(self._pool, self.policy, limits, headers_for, explain, on_progress)
            with deadline(limits.total_seconds) as until:
                fetched = request.run(parse_url(url, self.policy), file, max_redirects, until)
            yield fetched


@dataclass(frozen=True)
class _Request:
    """One fetch: attempts, redirects, and the bytes."""

    pool: httpcore.ConnectionPool
    policy: AddressPolicy
    limits: FetchLimits
    headers_for: HeadersFor
    explain: Explain
    on_progress: OnProgress | None

    def run(self, url: httpx.URL, file: IO[bytes], redirects: int, until: Deadline) -> FetchedFile:
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                return self._follow(url, file, redirects, until)
            except _Passing as passing:
                if pause_seconds is None or until.seconds_left <= pause_seconds:
                    raise passing.problem from passing
                time.sleep(pause_seconds)
        raise AssertionError("the last attempt returns or raises")

    def _follow(
        self, url: httpx.URL, file: IO[bytes], redirects: int, until: Deadline
    ) -> FetchedFile:
        hop = url
        for _ in range(redirects + 1):
            found = self._ask(hop, file, until)
            if isinstance(found, FetchedFile):
                return found
            hop = self._next(hop, found)
        raise SourceRefused(f"{shown(url)} redirects more than {redirects} times.")

    def _next(self, url: httpx.URL, location: str) -> httpx.URL:
        try:
            target = parse_url(str(url.join(location)), self.policy)
        except (httpx.InvalidURL, ValueError) as error:
            raise SourceRefused(f"{shown(url)} redirects to something unreadable.") from error
        except SourceRefused as refused:
            raise SourceRefused(f"{shown(url)} redirects elsewhere. {refused.detail}") from refused
        if url.scheme == "https" and target.scheme != "https":
            raise SourceRefused(f"{shown(url)} redirects from https to http.")
        return target

    def _ask(self, url: httpx.URL, file: IO[bytes], until: Deadline) -> FetchedFile | str:
        """Send one request; returns the file, or where a redirect leads to."""
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        extensions = {"timeout": self._timeouts}
        with (
            _network_errors(url),
            self.pool.stream(
                "GET", target, headers=self._headers(url), extensions=extensions
            ) as response,
        ):
            headers = _decoded(response.headers)
            if response.status == 200:
                return self._receive(url, headers, response, file, until)
            if response.status in _REDIRECTS and "location" in headers:
                return headers["location"]
            body = _first_bytes(response)
        answer = Answer(url, response.status, headers, body)
        problem = self.explain(answer)
        raise _Passing(problem) if answer.passes else problem

    @property
    def _timeouts(self) -> dict[str, float]:
        idle = self.limits.idle_seconds
        return {"connect": min(5.0, idle), "read": idle, "write": idle, "pool": idle}

    def _headers(self, url: httpx.URL) -> list[tuple[bytes, bytes]]:
        headers = {
            "User-Agent": "selvage",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **self.headers_for(url),
        }
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]

    def _receive(
        self,
        url: httpx.URL,
        headers: Mapping[str, str],
        response: httpcore.Response,
        file: IO[bytes],
        until: Deadline,
    ) -> FetchedFile:
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise SourceRefused(
                f"{shown(url)} sends the file compressed although we asked for it as it is "
                "(Content-Encoding). Serve it uncompressed."
            )
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.limits.max_bytes:
            raise self._too_large(url)
        file.seek(0)
        file.truncate()
        digest, size_bytes = hashlib.sha256(), 0
        for piece in response.iter_stream():
            size_bytes += len(piece)
            if size_bytes > self.limits.max_bytes:
                raise self._too_large(url)
            file.write(piece)
            digest.update(piece)
            until.put_off(len(piece) / SLOWEST_BYTES_PER_SECOND)
            if self.on_progress is not None:
                self.on_progress(size_bytes)
        file.seek(0)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        return FetchedFile(
            file, size_bytes, digest.hexdigest(), media_type or None, last_segment(url), shown(url)
        )

    def _too_large(self, url: httpx.URL) -> SourceTooLarge:
        return SourceTooLarge(
            f"{shown(url)} is larger than {self.limits.max_bytes} bytes, the most that is taken."
        )


@contextmanager
def _network_errors(url: httpx.URL) -> Iterator[None]:
    """Turn what the client raises into problems; what may pass into `_Passing`."""
    try:
        yield
    except SourceUnreachable as problem:  # the name did not resolve
        raise _Passing(problem) from problem
    except httpcore.TimeoutException as error:
        raise SourceUnreachable(f"{shown(url)} did not answer in time.") from error
    except httpcore.ConnectError as error:
        raise _Passing(
            SourceUnreachable(f"No connection to {shown(url)}: refused, or its TLS is not valid.")
        ) from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        raise _Passing(
            SourceUnreachable(f"{shown(url)} broke the connection off, or does not speak HTTP.")
        ) from error
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError) as error:
        raise SourceRefused(f"{shown(url)} cannot be asked for over HTTP.") from error


def _decoded(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _first_bytes(response: httpcore.Response) -> bytes:
    """The beginning of an error's body, which may say why; never more than a little."""
    body = b""
    with contextlib.suppress(
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException
    ):
        for piece in response.iter_stream():
            body += piece
            if len(body) >= MAX_ERROR_BYTES:
                break
    return body[:MAX_ERROR_BYTES]
