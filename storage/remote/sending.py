"""One PUT of a file to elsewhere, through the same guard as everything that is fetched."""

import time
from collections.abc import Iterator, Mapping
from typing import IO, Final

import httpcore
import httpx

from api_schemas.problems import DestinationRefused, SourceProblem
from storage.remote.addresses import AddressPolicy
from storage.remote.network import GuardedBackend, Resolver, deadline, resolve
from storage.remote.urls import shown

ATTEMPTS: Final = 4
PAUSES_SECONDS: Final = (0.2, 1.0, 3.0)
SLOWEST_BYTES_PER_SECOND: Final = 256 << 10
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PIECE_BYTES: Final = 1 << 16
_MAX_ERROR_BYTES: Final = 16 << 10
_OK: Final = (200, 201, 204)


class Sender:
    """Sends files through the guard. Safe to share between threads."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        total_seconds: float,
        idle_seconds: float,
        resolver: Resolver = resolve,
    ) -> None:
        self.policy = policy
        self._total_seconds = total_seconds
        self._idle_seconds = idle_seconds
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=8,
            keepalive_expiry=20.0,
            network_backend=GuardedBackend(policy, resolver),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def put(
        self, url: httpx.URL, file: IO[bytes], size_bytes: int, headers: Mapping[str, str]
    ) -> None:
        """PUT a file of a known size; asks again where that may help. No redirect is followed.

        Raises:
            DestinationRefused: with what the server said.
            SourceProblem: its address is not one to talk to.
        """
        said = ""
        for pause_seconds in (*PAUSES_SECONDS, None):
            file.seek(0)
            try:
                status, body = self._once(url, file, size_bytes, headers)
            except (
                httpcore.TimeoutException,
                httpcore.NetworkError,
                httpcore.ProtocolError,
            ) as error:
                status, body = 503, type(error).__name__.encode()
            except SourceProblem:
                raise
            if status in _OK:
                return
            said = f"status {status} {_code(body)}".strip()
            if status not in _PASSING or pause_seconds is None:
                break
            time.sleep(pause_seconds)
        raise DestinationRefused(
            f"{shown(url)} did not take the file: {said}. Check that the credentials of the "
            "connection may write there."
        )

    def _once(
        self, url: httpx.URL, file: IO[bytes], size_bytes: int, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        idle = self._idle_seconds
        timeouts = {"connect": min(5.0, idle), "read": idle, "write": idle, "pool": idle}
        fields = {"User-Agent": "selvage", "Content-Length": str(size_bytes), **headers}
        with (
            deadline(self._total_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND),
            self._pool.stream(
                "PUT",
                target,
                headers=[(k.encode("ascii"), v.encode("ascii")) for k, v in fields.items()],
                content=_pieces(file),
                extensions={"timeout": timeouts},
            ) as response,
        ):
            body = b""
            for piece in response.iter_stream():
                body += piece
                if len(body) >= _MAX_ERROR_BYTES:
                    break
            return response.status, body


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _code(body: bytes) -> str:
    """Return what an error document of S3 calls itself, if it is one."""
    start, end = body.find(b"<Code>"), body.find(b"</Code>")
    found = body[start + 6 : end] if 0 <= start < end else b""
    return found.decode("ascii", "replace")[:64] if found.isalnum() else ""
