"""The two thin layers over httpx: send a `Call`, try again, parse."""

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from pydantic import ValidationError

from selvage_client.calls import AnswerT, Call
from selvage_client.errors import invalid_input
from selvage_client.multipart import AsyncBody
from selvage_client.retrying import Attempts, RetryPolicy, unexpected_answer, unreachable

DEFAULT_URL: Final = "http://127.0.0.1:8700"
URL_VARIABLE: Final = "SELVAGE_URL"
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Options:
    """Where and how patiently to ask."""

    url: str
    timeout_seconds: float = 30.0
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def client_arguments(self) -> dict[str, Any]:
        """Return what both kinds of httpx client are built with."""
        return {
            "base_url": self.url,
            "timeout": httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
            # A proxy cannot reach the loopback address of this machine.
            "trust_env": not _is_loopback(httpx.URL(self.url).host),
            "follow_redirects": False,
        }

    def attempts(self, call: Call[Any], *, answered_before: bool) -> Attempts:
        return Attempts(self.retries, self.url, call.what, answered_before=answered_before)

    def timeout(self, call: Call[Any]) -> httpx.Timeout:
        """Return the timeout of one call."""
        answer_seconds = max(self.timeout_seconds, call.answer_seconds or 0.0)
        return httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS, read=answer_seconds)


def service_url(url: str | None) -> str:
    """Return the address to use: the one given, else `SELVAGE_URL`, else the default.

    Raises:
        InvalidInput: it is no http or https address.
    """
    chosen = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        parsed = httpx.URL(chosen)
    except httpx.InvalidURL as error:
        raise invalid_input(f"'{chosen}' is no address ({error}).") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise invalid_input(
            f"'{chosen}' is no address of a service. Write it in full, like {DEFAULT_URL}."
        )
    return chosen.rstrip("/")


class LineSplitter:
    """Splits chunks at newlines alone: JSON strings may hold other line separators as they are."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk ends, without empty ones."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """Return the last line, if no newline ended it."""
        return [self._rest] if self._rest.strip() else []


class SyncTransport:
    """Sends calls one after the other; may be shared by threads."""

    def __init__(self, options: Options, transport: httpx.BaseTransport | None = None) -> None:
        self._options = options
        self._answered = False
        self._client = httpx.Client(transport=transport, **options.client_arguments())

    def close(self) -> None:
        self._client.close()

    def send(self, call: Call[AnswerT]) -> AnswerT:
        """Return the answer of a call.

        Raises:
            SelvageError: the service refuses or does not answer.
        """
        return parse(call, self._options.url, self._answer(call, stream=False).content)

    def lines(self, call: Call[AnswerT]) -> Iterator[AnswerT]:
        """Yield the parsed lines of an answer as they come.

        Raises:
            SelvageError: the service refuses, does not answer, or stops in the middle.
        """
        response = self._answer(call, stream=True)
        lines = LineSplitter()
        try:
            for chunk in response.iter_bytes():
                for line in lines.feed(chunk):
                    yield parse(call, self._options.url, line)
        except httpx.TransportError as error:
            raise unreachable(self._options.url, error) from error
        finally:
            response.close()
        for line in lines.finish():
            yield parse(call, self._options.url, line)

    def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        attempts = self._options.attempts(call, answered_before=self._answered)
        while True:
            request = self._client.build_request(
                call.method,
                call.path,
                params=call.params,
                json=call.json,
                content=call.body,
                headers=call.headers,
                timeout=self._options.timeout(call),
            )
            try:
                response = self._client.send(request, stream=True)
                if not stream or not response.is_success:
                    response.read()
            except httpx.TransportError as error:
                pause_seconds: float | None = attempts.after_error(error)
            else:
                self._answered = True
                pause_seconds = attempts.after_answer(response)
                if pause_seconds is None:
                    return response
            time.sleep(pause_seconds or 0.0)


class AsyncTransport:
    """Sends calls from coroutines."""

    def __init__(self, options: Options, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._options = options
        self._answered = False
        self._client = httpx.AsyncClient(transport=transport, **options.client_arguments())

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, call: Call[AnswerT]) -> AnswerT:
        """Return the answer of a call.

        Raises:
            SelvageError: the service refuses or does not answer.
        """
        response = await self._answer(call, stream=False)
        return parse(call, self._options.url, response.content)

    async def lines(self, call: Call[AnswerT]) -> AsyncIterator[AnswerT]:
        """Yield the parsed lines of an answer as they come.

        Raises:
            SelvageError: the service refuses, does not answer, or stops in the middle.
        """
        response = await self._answer(call, stream=True)
        lines = LineSplitter()
        try:
            async for chunk in response.aiter_bytes():
                for line in lines.feed(chunk):
                    yield parse(call, self._options.url, line)
        except httpx.TransportError as error:
            raise unreachable(self._options.url, error) from error
        finally:
            await response.aclose()
        for line in lines.finish():
            yield parse(call, self._options.url, line)

    async def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        attempts = self._options.attempts(call, answered_before=self._answered)
        while True:
            request = self._client.build_request(
                call.method,
                call.path,
                params=call.params,
                json=call.json,
                content=None if call.body is None else AsyncBody(call.body),
                headers=call.headers,
                timeout=self._options.timeout(call),
            )
            try:
                response = await self._client.send(request, stream=True)
                if not stream or not response.is_success:
                    await response.aread()
            except httpx.TransportError as error:
                pause_seconds: float | None = attempts.after_error(error)
            else:
                self._answered = True
                pause_seconds = attempts.after_answer(response)
                if pause_seconds is None:
                    return response
            await asyncio.sleep(pause_seconds or 0.0)


def parse(call: Call[AnswerT], url: str, content: bytes) -> AnswerT:
    """Return the value of a good answer.

    Raises:
        UnexpectedAnswer: it does not match the wire contract.
    """
    try:
        return call.parse(content)
    except ValidationError as error:
        raise unexpected_answer(url, call.what) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
