"""`up.json` in the data folder: how other commands find the installation that runs there."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE_NAME = "up.json"


@dataclass(frozen=True)
class Announcement:
    """A running installation: where it answers, its process, and where its queue is."""

    url: str
    pid: int
    port: int
    broker_url: str


def announce(data_dir: Path, announcement: Announcement) -> None:
    """Write the file, whole or not at all, readable by its owner only."""
    target = data_dir / _FILE_NAME
    draft = target.with_suffix(".json.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(announcement), file)
    os.replace(draft, target)


def read_announcement(data_dir: Path) -> Announcement | None:
    """Return what the file says; None without one. Its installation may be dead all the same."""
    try:
        document = json.loads((data_dir / _FILE_NAME).read_text())
        return Announcement(**document)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def withdraw(data_dir: Path) -> None:
    """Remove the file."""
    (data_dir / _FILE_NAME).unlink(missing_ok=True)
