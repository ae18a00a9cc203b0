"""Bodies that stall, dribble or end early: the connection is let go, and no image set is left."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.wire import Wire, wire_to

IDLE_SECONDS = 0.5
BOUNDARY = "frontier"
PART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
).encode()


@pytest.fixture
def slow_site(tmp_path: Path) -> Iterator[Installation]:
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    with installation(url, tmp_path / "data", body_idle_seconds=IDLE_SECONDS) as site:
        yield site


@pytest.fixture
def wire(slow_site: Installation) -> Iterator[Wire]:
    with wire_to(slow_site) as opened:
        yield opened
        assert opened.request("GET", "/healthz").status == 200


def head(path: str, content_type: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def form_head(length: int) -> bytes:
    return head("/v1/image-sets", f"multipart/form-data; boundary={BOUNDARY}", length)


def nothing_is_left(site: Installation) -> bool:
    return site.client.get("/v1/image-sets").json()["image_sets"] == []


@pytest.mark.parametrize(
    "start", [form_head(10_000) + PART, head("/v1/jobs", "application/json", 9)]
)
def test_a_body_that_stalls_is_answered_and_the_connection_closed(
    slow_site: Installation, wire: Wire, start: bytes
) -> None:
    began = time.monotonic()
    answer = wire.raw(start, seconds=10)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"request-too-slow" in answer
    assert b"connection: close" in answer.lower()
    assert IDLE_SECONDS <= time.monotonic() - began < 6
    assert nothing_is_left(slow_site)


def test_a_body_that_dribbles_is_not_waited_for(slow_site: Installation, wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), 10) as connection:
        connection.sendall(form_head(100_000) + PART)
        connection.settimeout(0.1)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < 10:
            try:
                connection.sendall(b"x")
                answer = connection.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert time.monotonic() - began < 6
    assert b" 408 " in answer or answer == b""
    assert nothing_is_left(slow_site)


def test_a_body_that_comes_in_pieces_is_taken(slow_site: Installation, wire: Wire) -> None:
    data = png_bytes(1)
    body = PART + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    with socket.create_connection(("127.0.0.1", wire.port), 10) as connection:
        connection.sendall(form_head(len(body)))
        third = len(body) // 3 + 1
        for i in range(3):
            time.sleep(0.25)
            connection.sendall(body[i * third : (i + 1) * third])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("keep", [10, 200, -5])
def test_a_body_that_is_cut_leaves_no_set(slow_site: Installation, wire: Wire, keep: int) -> None:
    body = PART + png_bytes(1) + f"\r\n--{BOUNDARY}--\r\n".encode()
    answer = wire.raw(form_head(len(body)) + body[:keep], hang_up=True)
    assert b" 201 " not in answer
    assert b" 500 " not in answer
    assert nothing_is_left(slow_site)


def test_waiting_for_news_is_not_slowness(slow_site: Installation, wire: Wire) -> None:
    """Once a request is there, its answer may take as long as it likes."""
    body = PART + png_bytes(1) + f"\r\n--{BOUNDARY}--\r\n".encode()
    asked = form_head(len(body)).replace(b"Host: x", b"Host: x\r\nPrefer: wait=2") + body
    assert wire.raw(asked, seconds=4).startswith(b"HTTP/1.1 201")
