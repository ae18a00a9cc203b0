"""One `selvage up` per data folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DataDirInUse(Exception):
    """Another process holds the data folder."""

    def __init__(self, data_dir: Path, holder: str) -> None:
        super().__init__(f"The data folder {data_dir} is in use by process {holder}.")


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data folder; the kernel gives it back however this process ends.

    Raises:
        DataDirInUse: another process holds it.
    """
    fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUse(data_dir, os.pread(fd, 32, 0).decode().strip() or "?") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
