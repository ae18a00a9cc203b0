"""Copies of objects on the local disk for trainings: bounded, shared by runs through hard links.

The runs of a campaign read the same images again and again. A file in the cache is whole or
absent. What a run links to stays with the run, whatever is removed here.
"""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from storage.objects import Objects


class FileDamaged(Exception):
    """The bytes of an object are not those that its digest names."""


class DataTooLarge(Exception):
    """What one run reads is more than the cache may hold."""


class FileCache:
    """Fetches, verifies and evicts. Several threads may fetch; one makes room.

    Args:
        folder: on the same file system as the runs.
        max_bytes: of the files that are kept; those that a run links to count, and stay.
    """

    def __init__(self, folder: Path, objects: Objects, max_bytes: int) -> None:
        self._folder = folder
        self._objects = objects
        self._max_bytes = max_bytes

    def fetch(self, key: str, digest: str | None, tick: Callable[[], None]) -> Path:
        """Return the local copy of an object, which stays as it is until the next `make_room`.

        Args:
            digest: SHA-256 of the bytes in hex, where it is known.
            tick: called between two pieces; what it raises ends the fetch.

        Raises:
            ObjectMissing: there is no such object.
            FileDamaged: its bytes are others.
            StorageUnavailable: the store failed.
            OSError: the local disk failed.
        """
        name = hashlib.sha256(key.encode()).hexdigest()
        path = self._folder / name[:2] / name
        if path.exists():
            os.utime(path)
            if digest is None or _sha256(path) == digest:
                return path
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".fetch-", dir=path.parent)
        try:
            found = hashlib.sha256()
            with os.fdopen(descriptor, "wb") as file:
                for piece in self._objects.stream(key):
                    tick()
                    found.update(piece)
                    file.write(piece)
            if digest is not None and found.hexdigest() != digest:
                raise FileDamaged(key)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return path

    def make_room(self, wanted_bytes: int) -> None:
        """Remove the files that were used least recently until so many more bytes fit.

        Raises:
            DataTooLarge: they are more than the cache may ever hold.
        """
        if wanted_bytes > self._max_bytes:
            raise DataTooLarge(wanted_bytes)
        files = [(path, path.stat()) for path in self._files()]
        total = sum(facts.st_size for _, facts in files) + wanted_bytes
        for path, facts in sorted(files, key=lambda file: file[1].st_mtime):
            if total <= self._max_bytes:
                return
            if facts.st_nlink == 1:  # no run links to it
                path.unlink(missing_ok=True)
                total -= facts.st_size

    def clear(self) -> int:
        """Remove all that no run links to; returns how many bytes that gave back."""
        freed = 0
        for path in self._files():
            facts = path.stat()
            if facts.st_nlink == 1:
                path.unlink(missing_ok=True)
                freed += facts.st_size
        return freed

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob("*/*") if path.is_file()]


def link(source: Path, target: Path) -> None:
    """Give a file a second name; what had that name before is replaced."""
    if target.exists() and target.samefile(source):
        return
    temporary = target.with_name(f".{target.name}.{threading.get_ident()}")
    temporary.unlink(missing_ok=True)
    os.link(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # it stays where another thread was faster


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
