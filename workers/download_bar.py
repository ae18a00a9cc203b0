"""How far a download is: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from workers.resumable_download import OnBytes

LINE_EVERY_SECONDS: Final = 10.0


@contextmanager
def download_bar() -> Iterator[OnBytes]:
    """Yield a callback of (bytes there, bytes in all, if known); all goes to the error stream."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("Fetching"), *columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed_at = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._printed_at < LINE_EVERY_SECONDS and done != total:
            return
        self._printed_at = time.monotonic()
        of_all = f" of {total / 2**20:.0f}" if total else ""
        self._console.print(f"{done / 2**20:.0f}{of_all} MiB", highlight=False)
