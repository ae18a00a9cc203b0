"""Connections to the catalog, and the two kinds of transaction: `read` and `write`.

SQLite runs in WAL mode with `BEGIN IMMEDIATE` for writers: a deferred transaction that turns into
a writer fails at once with "database is locked", whatever the busy timeout (the lock upgrade does
not wait). PostgreSQL runs in READ COMMITTED; correctness rests on conditional UPDATEs on both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Double

BUSY_TIMEOUT_SECONDS = 30.0


class db_now(FunctionElement[float]):  # noqa: N801 - reads as SQL
    """The database's clock, in seconds since the epoch (UTC)."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: Any, compiler: SQLCompiler, **kw: Any) -> str:
    # clock_timestamp, not now(): leases are measured when the statement runs, and now() is
    # the start of the transaction.
    return "extract(epoch from clock_timestamp())::double precision"


def make_engine(url: str) -> Engine:
    """Return an engine for a catalog address; creates the folder of a SQLite file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("selvage_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class Catalog:
    """Opens transactions. One per process; safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._writer = self.engine.execution_options(selvage_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that must not write; sees one consistent state on SQLite."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed at the end, or not at all."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()
