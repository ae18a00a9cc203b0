"""A checkpoint by HTTP: interrupted and resumed, wrong, too short, too long, out of reach."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_server import Handler, WebServer, redirect, serve
from workers import resumable_download
from workers.official_checkpoints import CHECKPOINTS, Checkpoint
from workers.resumable_download import ChecksumMismatch, DownloadFailed, check, download

DATA = bytes(range(256)) * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_download, "PAUSE_SECONDS", 0.0)


def ranged(data: bytes = DATA, cut_after: tuple[int, ...] = ()) -> Callable[[Handler], None]:
    """A page that takes ranges; answer n hangs up after `cut_after[n]` bytes."""
    cuts = list(cut_after)

    def page(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        if start >= len(data):
            handler.answer(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        sent = data[start:]
        if cuts:
            sent = sent[: cuts.pop(0)]
            handler.close_connection = True
        handler.wfile.write(sent)

    return page


@contextmanager
def served(page: Any) -> Iterator[tuple[WebServer, Checkpoint]]:
    with serve({"/sam.pth": page}) as web:
        yield web, Checkpoint("sam", f"{web.url}/sam.pth", DIGEST, len(DATA))


def ranges(web: WebServer) -> list[str | None]:
    return [headers.get("range") for _, headers in web.seen]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestDownload:
    def test_whole(self, tmp_path: Path) -> None:
        steps: list[tuple[int, int | None]] = []
        with served(DATA) as (web, checkpoint):
            path = download(checkpoint, tmp_path / "d", lambda *step: steps.append(step))
            assert download(checkpoint, tmp_path / "d", lambda *_: None) == path  # not once more
            assert len(web.seen) == 1
        assert path.read_bytes() == DATA
        assert names(tmp_path / "d") == ["sam.pth"]
        assert steps[-1] == (len(DATA), len(DATA))

    def test_broken_connections_are_resumed(self, tmp_path: Path) -> None:
        with served(ranged(cut_after=(1000, 0, 5000))) as (web, checkpoint):
            path = download(checkpoint, tmp_path, lambda *_: None)
            assert ranges(web) == [None, "bytes=1000-", "bytes=1000-", "bytes=6000-"]
        assert path.read_bytes() == DATA

    def test_a_later_call_goes_on_where_the_first_stopped(self, tmp_path: Path) -> None:
        page = ranged(cut_after=(1000, *[0] * 5))
        with served(page) as (_, checkpoint), pytest.raises(DownloadFailed):
            download(checkpoint, tmp_path, lambda *_: None)
        assert (tmp_path / "sam.pth.part").read_bytes() == DATA[:1000]
        with served(ranged()) as (web, checkpoint):
            assert download(checkpoint, tmp_path, lambda *_: None).read_bytes() == DATA
            assert ranges(web) == ["bytes=1000-"]

    def test_a_whole_part_is_only_verified(self, tmp_path: Path) -> None:
        (tmp_path / "sam.pth.part").write_bytes(DATA)
        with served(ranged()) as (_, checkpoint):
            download(checkpoint, tmp_path, lambda *_: None)
        assert names(tmp_path) == ["sam.pth"]

    @pytest.mark.parametrize("part", [b"", b"other"])
    def test_a_server_without_ranges_sends_all_again(self, tmp_path: Path, part: bytes) -> None:
        (tmp_path / "sam.pth.part").write_bytes(part)
        with served(DATA) as (_, checkpoint):
            assert download(checkpoint, tmp_path, lambda *_: None).read_bytes() == DATA

    def test_a_range_that_was_not_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "sam.pth.part").write_bytes(DATA[:10])

        def page(handler: Handler) -> None:
            if "Range" in handler.headers:
                handler.answer(206, DATA[5:], content_range=f"bytes 5-{len(DATA) - 1}/{len(DATA)}")
            else:
                handler.answer(200, DATA)

        with served(page) as (_, checkpoint):
            assert download(checkpoint, tmp_path, lambda *_: None).read_bytes() == DATA

    def test_redirects_are_followed(self, tmp_path: Path) -> None:
        with serve({"/sam.pth": redirect("/there"), "/there": DATA}) as web:
            checkpoint = Checkpoint("sam", f"{web.url}/sam.pth", DIGEST)
            assert download(checkpoint, tmp_path, lambda *_: None).read_bytes() == DATA

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (DATA[:-1], "25599 bytes"),
            (DATA + b"!", "has 25600"),
            (bytes(len(DATA)), "SHA-256"),
        ],
    )
    def test_another_file_is_refused_and_removed(
        self, tmp_path: Path, data: bytes, reason: str
    ) -> None:
        with served(ranged(data)) as (_, checkpoint), pytest.raises(ChecksumMismatch, match=reason):
            download(checkpoint, tmp_path, lambda *_: None)
        assert names(tmp_path) == []

    def test_a_file_without_end_is_left(self, tmp_path: Path) -> None:
        sent = [0]

        def endless(handler: Handler) -> None:
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            while not handler.web.stopping.is_set():
                handler.wfile.write(bytes(1 << 16))
                sent[0] += 1 << 16

        with served(endless) as (_, checkpoint):
            with pytest.raises(ChecksumMismatch):
                download(checkpoint, tmp_path, lambda *_: None)
            assert sent[0] < 1 << 26

    def test_what_the_server_says(self, tmp_path: Path) -> None:
        with served(None) as (web, checkpoint):
            with pytest.raises(DownloadFailed, match="answers 404"):
                download(checkpoint, tmp_path, lambda *_: None)
            assert len(web.seen) == 1
        with served(lambda handler: handler.answer(503)) as (web, checkpoint):
            with pytest.raises(DownloadFailed, match="answers 503"):
                download(checkpoint, tmp_path, lambda *_: None)
            assert len(web.seen) == resumable_download.ATTEMPTS

    def test_nobody_there(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint("sam", "http://127.0.0.1:1/sam.pth", DIGEST)
        with pytest.raises(DownloadFailed):
            download(checkpoint, tmp_path, lambda *_: None)


class TestCheck:
    def test_a_file_of_the_users_own_stays(self, tmp_path: Path) -> None:
        checkpoint = Checkpoint("sam", "http://x/sam.pth", DIGEST, None)
        path = tmp_path / "mine.pth"
        path.write_bytes(DATA)
        check(checkpoint, path)
        path.write_bytes(DATA[1:])
        with pytest.raises(ChecksumMismatch, match=r"mine\.pth is not the published sam\.pth"):
            check(checkpoint, path)
        assert path.exists()


def test_the_published_files() -> None:
    from models.promptable.sam_architecture import OFFICIAL

    assert set(CHECKPOINTS) == set(OFFICIAL)
    for checkpoint in CHECKPOINTS.values():
        assert checkpoint.url.startswith("https://dl.fbaipublicfiles.com/segment_anything/")
        assert checkpoint.file_name.startswith(checkpoint.name)
        assert len(checkpoint.sha256) == 64
