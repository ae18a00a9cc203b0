"""Uploads in parts: links that expire, stores that fail, files that change."""

import asyncio
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from selvage_client import AsyncSelvage, RetryPolicy, Selvage, SelvageError
from selvage_client.errors import InvalidInput

QUICK = RetryPolicy(3, 3, 0.0, 0.0)
UPLOAD_ID = "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G"
PART_BYTES = 1000
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class StoreBehind:
    """A service that takes uploads by links to a store; each link is good for so many parts."""

    def __init__(self, parts_per_link: int | None = None, broken_parts: set[int] | None = None):
        self.content: dict[int, bytes] = {}
        self.begun: dict[str, Any] = {}
        self.refused = 0
        self.completed = False
        self._parts_per_link = parts_per_link
        self._broken = broken_parts or set()
        self._looks = 0
        self._taken_by_look: dict[int, int] = {}

    def handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        if request.url.host == "store":
            return self._store(request)
        if request.url.path.endswith(":complete"):
            self.completed = True
        elif request.method == "POST":
            self.begun = json.loads(request.content)
        self._looks += 1
        return httpx.Response(200, json=self._upload(int(request.url.params.get("page_token", 0))))

    def whole(self) -> bytes:
        return b"".join(self.content[number] for number in sorted(self.content))

    def _store(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        number, look = (int(n) for n in re.findall(r"\d+", request.url.path))
        if number in self._broken:
            return httpx.Response(400, text=f"no such thing at {request.url}")
        taken = self._taken_by_look[look] = self._taken_by_look.get(look, 0) + 1
        if self._parts_per_link is not None and taken > self._parts_per_link:
            self.refused += 1
            return httpx.Response(403, text="<Code>AccessDenied</Code>")
        assert int(request.headers["content-length"]) == len(request.content)
        self.content[number] = request.content
        return httpx.Response(200)

    def _upload(self, after: int, page: int = 4) -> dict[str, Any]:
        size_bytes = self.begun["size_bytes"]
        count = -(-size_bytes // PART_BYTES)
        numbers = range(after + 1, min(count, after + page) + 1)
        return {
            "id": UPLOAD_ID,
            **self.begun,
            "status": "complete" if self.completed else "open",
            "part_bytes": PART_BYTES,
            "part_count": count,
            "parts": [self._part(number, size_bytes) for number in numbers],
            "next_page_token": str(after + page) if after + page < count else None,
            "created_at": NOON.isoformat(),
            "created_by": "local",
            "expires_at": (NOON + timedelta(days=7)).isoformat(),
            "links": {},
        }

    def _part(self, number: int, size_bytes: int) -> dict[str, Any]:
        return {
            "number": number,
            "size_bytes": min(PART_BYTES, size_bytes - (number - 1) * PART_BYTES),
            "status": "stored" if number in self.content else "missing",
            "url": f"http://store/{number}/{self._looks}?X-Amz-Signature=secret",
        }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "night.zip"
    path.write_bytes(b"".join(bytes([n]) * PART_BYTES for n in range(10)) + b"tail")
    return path


def send(service: StoreBehind, file: Path, **options: Any) -> None:
    transport = httpx.MockTransport(service.handle)
    with Selvage("http://service", "sv_key", retries=QUICK, transport=transport) as client:
        client.uploads.send(file, **options)


def send_by_coroutines(service: StoreBehind, file: Path, **options: Any) -> None:
    async def run() -> None:
        transport = httpx.MockTransport(service.handle)
        async with AsyncSelvage(
            "http://service", "sv_key", retries=QUICK, transport=transport
        ) as client:
            await client.uploads.send(file, **options)

    asyncio.run(run())


both = pytest.mark.parametrize("how", [send, send_by_coroutines])


@both
def test_all_parts_arrive_as_they_are(how: Any, file: Path) -> None:
    service = StoreBehind()
    counted: list[tuple[int, int]] = []
    how(service, file, on_bytes=lambda *pair: counted.append(pair))
    assert service.whole() == file.read_bytes()
    assert service.begun == {
        "file_name": "night.zip",
        "size_bytes": 10_004,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert service.completed
    assert counted == sorted(counted)
    assert (len(counted), counted[-1]) == (11, (10_004, 10_004))


@both
def test_links_that_expired_are_asked_for_again(how: Any, file: Path) -> None:
    service = StoreBehind(parts_per_link=3)
    how(service, file)
    assert service.whole() == file.read_bytes()
    assert service.refused > 0


@both
def test_links_that_are_never_good_end_it(how: Any, file: Path) -> None:
    service = StoreBehind(parts_per_link=0)
    with pytest.raises(SelvageError, match="store answered 403"):
        how(service, file)
    assert not service.completed


@both
def test_a_part_that_fails_stops_the_others(how: Any, file: Path) -> None:
    service = StoreBehind(broken_parts={2})
    with pytest.raises(SelvageError, match="store answered 400") as caught:
        how(service, file, parts_at_once=1)
    assert "secret" not in str(caught.value)
    assert list(service.content) == [1]
    assert not service.completed


@both
def test_a_file_that_shrinks_is_not_completed(how: Any, file: Path) -> None:
    service = StoreBehind()
    with pytest.raises(InvalidInput, match="changed while it was being sent"):
        how(service, file, on_start=lambda _: file.write_bytes(b"short"))
    assert not service.completed


@pytest.mark.parametrize(("name", "text"), [("missing", "cannot be read"), ("empty", "is empty")])
def test_what_is_no_file_is_not_announced(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    service = StoreBehind()
    with pytest.raises(InvalidInput, match=text):
        send(service, tmp_path / name)
    assert service.begun == {}
