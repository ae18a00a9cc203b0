"""One POST to an address outside, through the guard; no redirect is followed.

Every POST opens a connection of its own: a name is resolved anew each time, and the address that
was checked is the one that is dialled.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpcore
import httpx

from api_schemas.problems import SourceRefused, SourceUnreachable
from storage.remote.addresses import AddressPolicy
from storage.remote.network import GuardedBackend, Resolver, deadline, resolve
from storage.remote.urls import parse_url

MAX_HEADERS_SHOWN: Final = 64
_NETWORK: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


@dataclass(frozen=True)
class Posted:
    """What came back.

    Attributes:
        headers: names in lower case.
        body: its beginning.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class Poster:
    """Posts through the guard. Safe to share between threads; not across a fork.

    Knows no proxies, no cookies, no `.netrc`: nothing of this machine's environment.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._backend = GuardedBackend(policy, resolver)
        self._tls = httpx.create_ssl_context()

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        seconds: float,
        max_response_bytes: int,
    ) -> Posted:
        """Send a body and return the answer, whatever its status.

        Args:
            seconds: for all of it.

        Raises:
            SourceRefused: the address is none that may be dialled.
            SourceUnreachable: no answer in time, or no answer at all.
        """
        parsed = parse_url(url, self._policy)
        target = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
        )
        started = time.monotonic()
        sent = {
            "User-Agent": "selvage",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Length": str(len(body)),
            **headers,
        }
        with (
            deadline(seconds),
            _network_errors(),
            httpcore.ConnectionPool(
                ssl_context=self._tls, max_connections=1, network_backend=self._backend
            ) as pool,
            pool.stream(
                "POST",
                target,
                headers=[(k.encode("ascii"), v.encode("ascii")) for k, v in sent.items()],
                content=body,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), seconds)},
            ) as response,
        ):
            beginning = _first_bytes(response, max_response_bytes)
            found = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in
                     response.headers[:MAX_HEADERS_SHOWN]]  # fmt: skip
            return Posted(response.status, dict(found), beginning, time.monotonic() - started)


@contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise SourceUnreachable("There was no answer in time.") from error
    except httpcore.ConnectError as error:
        raise SourceUnreachable("No connection: refused, or its TLS is not valid.") from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
        raise SourceUnreachable("The connection broke off, or it does not speak HTTP.") from error
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError) as error:
        raise SourceRefused("The address cannot be posted to over HTTP.") from error


def _first_bytes(response: httpcore.Response, limit: int) -> bytes:
    """The beginning of a body; the status counts even where the body never ends."""
    body = b""
    with contextlib.suppress(*_NETWORK):
        for piece in response.iter_stream():
            body += piece
            if len(body) >= limit:
                break
    return body[:limit]
