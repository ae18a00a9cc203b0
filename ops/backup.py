"""A consistent copy of the catalog while the service runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import make_url


class CannotBackUp(Exception):
    """The catalog cannot be copied by this command; the message says what to do instead."""


def back_up_catalog(url: str, target: Path) -> int:
    """Copy a SQLite catalog to a new file; returns the size of the copy in bytes.

    Writers wait for moments only: SQLite copies page by page under its own locks.

    Raises:
        CannotBackUp: another kind of database, no catalog there, or the target exists.
    """
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        raise CannotBackUp(
            "The catalog is on PostgreSQL, which has its own tool: "
            f"pg_dump --format=custom --file={target} {address.database}"
        )
    source = Path(address.database or "")
    if not source.is_file():
        raise CannotBackUp("There is no catalog yet. SELVAGE_DATA_DIR says where it is looked for.")
    if target.exists():
        raise CannotBackUp(f"{target} exists already. Name a new file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as found,
        closing(sqlite3.connect(unfinished)) as copy,
    ):
        found.backup(copy)
    unfinished.rename(target)
    return target.stat().st_size
