import asyncio
import io
from pathlib import Path

import httpx
import pytest
from selvage_client.errors import InvalidInput
from selvage_client.multipart import CHUNK_BYTES, AsyncBody, FilePart, MultipartBody, file_part

from tests.client.fake_service import read_multipart


def part(name: str, content: bytes) -> FilePart:
    return FilePart(name, "image/png", len(content), lambda: io.BytesIO(content))


def parsed(body: MultipartBody) -> dict[str, list[tuple[str | None, bytes]]]:
    headers = {"Content-Type": body.content_type}
    return read_multipart(
        httpx.Request("POST", "http://x/", content=b"".join(body), headers=headers)
    )


def test_fields_come_before_files_and_are_read_back() -> None:
    body = MultipartBody([("model", "dém\no")], [("files", part("a/b.png", b"\x00\r\n--\xff"))])
    assert parsed(body) == {
        "model": [(None, "dém\no".encode())],
        "files": [("a/b.png", b"\x00\r\n--\xff")],
    }


def test_size_is_stated_exactly_and_the_bytes_repeat() -> None:
    body = MultipartBody([("name", "ä")], [("files", part("ü.png", bytes(1000)))] * 3)
    first = b"".join(body)
    assert body.size_bytes == len(first)
    assert b"".join(body) == first


def test_a_file_name_cannot_end_its_header() -> None:
    body = MultipartBody([], [("files", part('a".png\r\nX-Evil: 1', b""))])
    head = b"".join(body).split(b"\r\n\r\n")[0]
    assert b'filename="a%22.png%0D%0AX-Evil: 1"' in head
    assert head.count(b"\r\n") == 2  # boundary, disposition, type


def test_chunks_are_bounded_and_counted() -> None:
    seen: list[tuple[int, int]] = []
    files = [("files", part(f"{n}", bytes(CHUNK_BYTES))) for n in range(5)]
    body = MultipartBody([], files, lambda sent, total: seen.append((sent, total)))
    sizes = [len(chunk) for chunk in body]
    assert max(sizes) < 2 * CHUNK_BYTES
    assert seen[-1] == (body.size_bytes, body.size_bytes)
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)


def test_one_file_is_open_at_a_time(tmp_path: Path) -> None:
    open_now = 0
    most_open = 0

    class Counted(io.BytesIO):
        def __init__(self) -> None:
            nonlocal open_now, most_open
            super().__init__(b"abc")
            open_now += 1
            most_open = max(most_open, open_now)

        def close(self) -> None:
            nonlocal open_now
            open_now -= not self.closed
            super().close()

    files = [("files", FilePart(f"{n}.png", "image/png", 3, Counted)) for n in range(50)]
    assert b"".join(MultipartBody([], files)).count(b"abc") == 50
    assert (open_now, most_open) == (0, 1)


@pytest.mark.parametrize("content", [b"longer than before", b"s"])
def test_a_file_that_changed_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    body = MultipartBody([], [("files", file_part(path, "a.png", "image/png"))])
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="'a.png' changed"):
        list(body)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    body = MultipartBody([], [("files", file_part(path, "a.png", "image/png"))])
    path.unlink()
    with pytest.raises(InvalidInput, match="'a.png' cannot be read"):
        list(body)


def test_the_asynchronous_body_is_the_same() -> None:
    body = MultipartBody([("a", "b")], [("files", part("x", bytes(600_000)))])

    async def read() -> bytes:
        return b"".join([chunk async for chunk in AsyncBody(body)])

    assert asyncio.run(read()) == b"".join(body)
