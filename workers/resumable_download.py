"""One large file by HTTP, resumed where it stopped, verified before it gets its name. No torch."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from models.digest import file_sha256
from workers.official_checkpoints import Checkpoint

MAX_BYTES: Final = 4 << 30  # where the size is not known: beyond what any of these files has
ATTEMPTS: Final = 5  # in a row without a new byte
PAUSE_SECONDS: Final = 1.0
_TIMEOUT: Final = httpx.Timeout(30.0)
_RETRIED: Final = (408, 429, 500, 502, 503, 504)

OnBytes = Callable[[int, int | None], None]  # bytes there, bytes in all if known


class DownloadFailed(Exception):
    """The file could not be fetched; what is there of it stays, for the next try."""


class ChecksumMismatch(Exception):
    """The file is not the one that was published; it was removed if it was fetched."""


def download(checkpoint: Checkpoint, folder: Path, on_bytes: OnBytes) -> Path:
    """Return a verified copy of a checkpoint in `folder`, fetching what is missing of it.

    Raises:
        DownloadFailed: no network, no such file, or the connection keeps breaking.
        ChecksumMismatch: size or SHA-256 is another; the part was removed.
        OSError: the disk is full or not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / checkpoint.file_name
    if target.is_file():
        return _verified(checkpoint, target)
    part = folder / f"{checkpoint.file_name}.part"
    _fetch_all(checkpoint, part, on_bytes)
    _verified(checkpoint, part)
    os.replace(part, target)
    return target


def check(checkpoint: Checkpoint, path: Path) -> None:
    """Raise ChecksumMismatch unless a file is the published one; it is left alone."""
    size_bytes = path.stat().st_size
    if checkpoint.size_bytes is not None and size_bytes != checkpoint.size_bytes:
        raise ChecksumMismatch(
            f"{path.name} has {size_bytes} bytes; the published {checkpoint.file_name} has "
            f"{checkpoint.size_bytes}."
        )
    found = file_sha256(path)
    if found != checkpoint.sha256:
        raise ChecksumMismatch(
            f"{path.name} is not the published {checkpoint.file_name}: its SHA-256 is {found}, "
            f"not {checkpoint.sha256}."
        )


def _verified(checkpoint: Checkpoint, path: Path) -> Path:
    try:
        check(checkpoint, path)
    except ChecksumMismatch:
        path.unlink()
        raise
    return path


def _fetch_all(checkpoint: Checkpoint, part: Path, on_bytes: OnBytes) -> None:
    """Go on with a part until the server says that it is whole."""
    failures = 0
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        while True:
            before = _size(part)
            try:
                if _fetch_some(client, checkpoint, part, on_bytes):
                    return
                reason = "the connection broke"
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
            failures = 0 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise DownloadFailed(reason)
            time.sleep(PAUSE_SECONDS * failures)


def _fetch_some(
    client: httpx.Client, checkpoint: Checkpoint, part: Path, on_bytes: OnBytes
) -> bool:
    """Append one answer to a part; False if the answer stopped before its end."""
    done = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    with client.stream("GET", checkpoint.url, headers=headers) as answer:
        if answer.status_code == 416:  # nothing after what is there already
            return True
        if answer.status_code in _RETRIED:
            raise httpx.TransportError(f"the server answers {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise DownloadFailed(f"the server answers {answer.status_code}")
        if answer.status_code == 206 and not _goes_on_at(answer, done):
            part.unlink()  # it cannot be continued there: all of it once more
            return False
        if answer.status_code == 200:
            done = 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else None
        limit = checkpoint.size_bytes or MAX_BYTES
        with part.open("r+b" if done else "wb") as file:
            file.seek(done)
            file.truncate()
            for piece in answer.iter_raw():
                file.write(piece)
                done += len(piece)
                on_bytes(done, checkpoint.size_bytes or total)
                if done > limit:
                    return True  # it is another file, as its check will say
    return total is None or done >= total


def _goes_on_at(answer: httpx.Response, done: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {done}-")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
