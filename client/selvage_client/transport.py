"""The two thin layers over httpx: send a `Call`, try again, parse.

The API key goes to the service and nowhere else. Links to an object store, in a 303 or as the place
of a part of an upload, are used by a second client, which has no key.
"""

import asyncio
import ipaddress
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
API_KEY_VARIABLE: Final = "SELVAGE_API_KEY"
CONNECT_SECONDS: Final = 5.0
_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}")
# A proxy cannot reach the loopback address of this machine.
_NO_PROXY: Final = ("all://127.0.0.1", "all://localhost", "all://[::1]")


@dataclass(frozen=True)
class Options:
    """Where, as whom and how patiently to ask."""

    url: str
    timeout_seconds: float = 30.0
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    api_key: str | None = field(default=None, repr=False)

    def client_arguments(self) -> dict[str, Any]:
        """Return what both kinds of httpx client are built with."""
        return {
            "base_url": self.url,
            "headers": {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"},
            "timeout": httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
            "trust_env": not _is_loopback(httpx.URL(self.url).host),
            "follow_redirects": False,
        }

    def store_arguments(self) -> dict[str, Any]:
        """Return the same for the client that follows links to an object store."""
        return {"mounts": dict.fromkeys(_NO_PROXY), "follow_redirects": False}

    def store_behind(self, outcome: httpx.Response | httpx.TransportError) -> str | None:
        """Return the host of the object store that was asked, None if it was the service.

        Of a link the host alone is shown: the rest may be a signature.
        """
        try:
            url = outcome.request.url
        except RuntimeError:  # it failed before there was a request
            return None
        service = httpx.URL(self.url)
        same = (url.scheme, url.netloc) == (service.scheme, service.netloc)
        return None if same else url.netloc.decode("ascii")

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


def key_to_use(api_key: str | None) -> str | None:
    """Return the API key to use: the one given, else `SELVAGE_API_KEY`, else none.

    Raises:
        InvalidInput: it is no key; the message does not show it.
    """
    chosen = (api_key or os.environ.get(API_KEY_VARIABLE) or "").strip()
    if not chosen:
        return None
    if _KEY.fullmatch(chosen) is None:
        raise invalid_input(
            "The API key holds characters that no key has. Copy it again, sv_…, on one line."
        )
    return chosen


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
        self._transport = transport
        self._client = httpx.Client(transport=transport, **options.client_arguments())
        self._store: httpx.Client | None = None
        self._opening_store = threading.Lock()

    def close(self) -> None:
        self._client.close()
        if self._store is not None:
            self._store.close()

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

    @contextmanager
    def stream(self, call: Call[Any]) -> Iterator[httpx.Response]:
        """Give a good answer whose body is still to be read.

        Raises:
            SelvageError: the service refuses or does not answer.
        """
        response = self._answer(call, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        attempts = self._options.attempts(call, answered_before=self._answered)
        while True:
            try:
                response = self._sent(call)
                if not stream or not response.is_success:
                    response.read()
            except httpx.TransportError as error:
                store = self._options.store_behind(error)
                pause_seconds: float | None = attempts.after_error(error, store)
            else:
                self._answered = True
                store = self._options.store_behind(response)
                pause_seconds = attempts.after_answer(response, store)
                if pause_seconds is None:
                    return response
            time.sleep(pause_seconds or 0.0)

    def _sent(self, call: Call[Any]) -> httpx.Response:
        """Send a call once; a link to a file is followed, without the key."""
        client = self._store_client() if call.to_store else self._client
        timeout = self._options.timeout(call)
        request = client.build_request(
            call.method,
            call.path,
            params=call.params or None,
            json=call.json,
            content=call.body,
            headers=call.headers,
            timeout=timeout,
        )
        response = client.send(request, stream=True)
        link = link_of(call, response)
        if link is None:
            return response
        response.close()
        client = self._store_client()
        return client.send(client.build_request("GET", link, timeout=timeout), stream=True)

    def _store_client(self) -> httpx.Client:
        with self._opening_store:
            if self._store is None:
                arguments = self._options.store_arguments()
                self._store = httpx.Client(transport=self._transport, **arguments)
            return self._store


class AsyncTransport:
    """Sends calls from coroutines."""

    def __init__(self, options: Options, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._options = options
        self._answered = False
        self._transport = transport
        self._client = httpx.AsyncClient(transport=transport, **options.client_arguments())
        self._store: httpx.AsyncClient | None = None

    async def close(self) -> None:
        await self._client.aclose()
        if self._store is not None:
            await self._store.aclose()

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

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[httpx.Response]:
        """Give a good answer whose body is still to be read.

        Raises:
            SelvageError: the service refuses or does not answer.
        """
        response = await self._answer(call, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def _answer(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        attempts = self._options.attempts(call, answered_before=self._answered)
        while True:
            try:
                response = await self._sent(call)
                if not stream or not response.is_success:
                    await response.aread()
            except httpx.TransportError as error:
                store = self._options.store_behind(error)
                pause_seconds: float | None = attempts.after_error(error, store)
            else:
                self._answered = True
                store = self._options.store_behind(response)
                pause_seconds = attempts.after_answer(response, store)
                if pause_seconds is None:
                    return response
            await asyncio.sleep(pause_seconds or 0.0)

    async def _sent(self, call: Call[Any]) -> httpx.Response:
        """Send a call once; a link to a file is followed, without the key."""
        client = self._store_client() if call.to_store else self._client
        timeout = self._options.timeout(call)
        request = client.build_request(
            call.method,
            call.path,
            params=call.params or None,
            json=call.json,
            content=None if call.body is None else AsyncBody(call.body),
            headers=call.headers,
            timeout=timeout,
        )
        response = await client.send(request, stream=True)
        link = link_of(call, response)
        if link is None:
            return response
        await response.aclose()
        client = self._store_client()
        return await client.send(client.build_request("GET", link, timeout=timeout), stream=True)

    def _store_client(self) -> httpx.AsyncClient:
        if self._store is None:
            arguments = self._options.store_arguments()
            self._store = httpx.AsyncClient(transport=self._transport, **arguments)
        return self._store


def link_of(call: Call[Any], response: httpx.Response) -> str | None:
    """Return where a 303 says that a file is; other redirects are followed by nobody."""
    if call.method != "GET" or response.status_code != httpx.codes.SEE_OTHER:
        return None
    location: str = response.headers.get("location", "")
    try:
        target = httpx.URL(location)
    except httpx.InvalidURL:
        return None
    return location if target.scheme in ("http", "https") and target.host else None


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
