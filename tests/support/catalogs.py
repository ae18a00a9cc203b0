"""Catalogs for tests, without what takes longer than most of them: migrations and compilation."""

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from storage.catalog import migrations
from storage.catalog.engine import Catalog


def new_sqlite_catalog(path: Path) -> str:
    """Address of a fresh catalog in a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated())
    return f"sqlite:///{path}"


class QuickCatalog(Catalog):
    """A catalog that goes on with the statements that earlier ones of the process compiled.

    SQLAlchemy keeps compiled statements with each engine, under its dialect.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        with self.engine.connect():
            pass  # the dialect learns what the server can do
        first = _first_engines.setdefault(self.engine.name, self.engine)
        for engine in (self.engine, self._writer):
            engine.dialect = first.dialect
            engine._compiled_cache = first._compiled_cache


_first_engines: dict[str, Engine] = {}


@cache
def _migrated() -> bytes:
    # All migrations take longer than most tests: they run once per process.
    with tempfile.TemporaryDirectory(prefix="selvage-schema-") as folder:
        path = Path(folder) / "catalog.sqlite3"
        migrations.upgrade(f"sqlite:///{path}")
        assert not path.with_name(f"{path.name}-wal").exists()  # all is in the file itself
        return path.read_bytes()
