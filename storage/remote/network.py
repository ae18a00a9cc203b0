"""Sockets for the HTTP client: the address that was checked is the address that is dialled.

A name is resolved once for each connection, and the check and the dialling use the same answer, so
that a name server that answers differently a moment later gains nothing. TLS still asks for the
name. A deadline for the whole fetch cuts every wait short, also that for headers that drip.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from api_schemas.problems import SourceRefused, SourceUnreachable
from storage.remote.addresses import Address, AddressPolicy, literal

Resolver = Callable[[str, int], list[str]]
MAX_ADDRESSES: Final = 4
CONNECT_SECONDS: Final = 5.0


@dataclass
class Deadline:
    """When the fetch of this thread has to be over; every piece received puts it off a little."""

    until: float

    def put_off(self, seconds: float) -> None:
        """Allow more time."""
        self.until += seconds

    @property
    def seconds_left(self) -> float:
        return self.until - time.monotonic()


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Bound all waiting of this thread on sockets of this module."""
    limit = Deadline(time.monotonic() + seconds)
    token = _deadline.set(limit)
    try:
        yield limit
    finally:
        _deadline.reset(token)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the system knows them.

    Raises:
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore.NetworkBackend):
    """Opens connections to addresses that the policy allows."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._resolver = resolver
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Dial the allowed addresses of `host` in turn.

        Raises:
            SourceRefused: none of them is allowed.
            SourceUnreachable: the name is unknown.
            httpcore.ConnectError, httpcore.ConnectTimeout: none of them answered.
        """
        allowed = self._allowed(host, port)
        for address in allowed[:-1]:
            try:
                return self._dial(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._dial(allowed[-1], port, timeout, local_address, socket_options)

    def _dial(
        self,
        address: Address,
        port: int,
        timeout: float | None,
        local_address: str | None,
        options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.NetworkStream:
        stream = self._sockets.connect_tcp(
            str(address), port, _bounded(timeout, httpcore.ConnectTimeout), local_address, options
        )
        return BoundedStream(stream)

    def _allowed(self, host: str, port: int) -> list[Address]:
        found = addresses_of(host, port, self._resolver)
        allowed = [address for address in found if self._may_dial(host, address, port)]
        if not allowed:
            raise SourceRefused(
                f"'{host}' is not reached from here: it is not on the open internet, or the port "
                f"{port} is not one for HTTP. The operator can allow it with "
                f"{self._policy.setting}."
            )
        return allowed[:MAX_ADDRESSES]

    def _may_dial(self, host: str, address: Address, port: int) -> bool:
        if self._policy.is_listed(host, address):
            return True
        return is_http_port(port) and self._policy.allows(host, address)


def is_http_port(port: int) -> bool:
    """Whether HTTP is at home on the port; the low ones belong to mail, terminals and the like."""
    return port in (80, 443) or port >= 1024


def addresses_of(host: str, port: int, resolver: Resolver) -> list[Address]:
    """Return the addresses of a host.

    Raises:
        SourceRefused: it is spelled in an odd way.
        SourceUnreachable: the name is unknown.
    """
    try:
        spelled = literal(host)
    except ValueError as error:
        raise SourceRefused("The host is neither a name nor an ordinary address.") from error
    if spelled is not None:
        return [spelled]
    try:
        texts = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise SourceUnreachable(f"The name '{host}' could not be resolved.") from error
    return [ipaddress.ip_address(text) for text in texts]


class BoundedStream(httpcore.NetworkStream):
    """A socket whose waits end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _bounded(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limit = _bounded(timeout, httpcore.ConnectTimeout)
        try:
            return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, limit))
        except ValueError as error:  # a name that no certificate can have
            raise httpcore.ConnectError(str(error)) from error

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _bounded(timeout: float | None, error: type[Exception]) -> float | None:
    limit = _deadline.get()
    if limit is None:
        return timeout
    left = limit.seconds_left
    if left <= 0:
        raise error("the time for the whole fetch is over")
    return left if timeout is None else min(timeout, left)
