"""A real PostgreSQL server for the tests, from the pgserver wheel or the machine's own."""

import importlib.util
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg

from storage.catalog import migrations

TEMPLATE = "selvage_template"
_MANY_ROWS = 2000  # to leave so many dead ones behind would slow down who comes next
HAS_WHEEL = importlib.util.find_spec("pgserver") is not None


@dataclass
class Postgres:
    """A running server; `socket_folder` is where it listens."""

    socket_folder: Path
    _schema: list[Any] = field(default_factory=list)
    _idle: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_folder}"

    def new_database(self, name: str, template: str = TEMPLATE) -> str:
        """Create a database, by default with the current schema (a copy of a migrated one)."""
        with self._connection("postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Address of a database with the current schema and no rows, for the time of the block.

        To create and to delete one means hundreds of files each time, so one test after the other
        uses it.
        """
        if self._idle:
            name = self._idle.pop()
        else:
            name = f"lent_{next(self._numbers)}"
            self.new_database(name)
        yield self.url(name)
        if self._emptied(name):
            self._idle.append(name)

    def _emptied(self, database: str) -> bool:
        """Delete all rows; False if the database is not as it was, and not to be used again."""
        with self._connection(database) as connection:
            if not _left_alone(connection) or _schema_of(connection) != self._schema:
                return False
            connection.execute("SET session_replication_role = replica")  # in any order
            found = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname <> 'alembic_version'"
                " AND relnamespace = 'public'::regnamespace"
            ).fetchall()
            for (table,) in found:
                deleted = connection.execute(f'DELETE FROM "{table}"')  # noqa: S608
                if deleted.rowcount > _MANY_ROWS:
                    return False
            connection.execute("SELECT setval(seqrelid, seqstart, false) FROM pg_sequence")
        return True

    def make_template(self) -> None:
        with self._connection("postgres", autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the tests
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
        migrations.upgrade(self.url(TEMPLATE))
        with self._connection(TEMPLATE) as connection:
            self._schema = _schema_of(connection)

    def _connection(self, database: str, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(
            f"postgresql://postgres@/{database}?host={self.socket_folder}", **options
        )


def _schema_of(connection: psycopg.Connection[Any]) -> list[Any]:
    """The version, as the migrations wrote it."""
    return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def _left_alone(connection: psycopg.Connection[Any]) -> bool:
    """Whether nobody else is connected; who just hung up has a moment to be gone."""
    for _ in range(20):
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        if others == (0,):
            return True
        time.sleep(0.01)
    return False


@contextmanager
def start_postgres() -> Iterator[Postgres]:
    """Start a server in a temporary folder that its own user can enter.

    Raises:
        RuntimeError: neither the wheel nor a server on PATH is there.
    """
    folder = Path(tempfile.mkdtemp(prefix="selvage-postgres-"))
    folder.chmod(0o755)
    try:
        with _server_of_wheel(folder) if HAS_WHEEL else _own_server(folder) as server:
            server.make_template()
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server_of_wheel(folder: Path) -> Iterator[Postgres]:
    import pgserver

    instance = pgserver.get_server(folder / "pg")  # type: ignore[attr-defined]
    try:
        yield Postgres(folder / "pg")
    finally:
        # an orderly stop would first write everything to disk
        postmaster = psutil.Process(int((folder / "pg/postmaster.pid").read_text().split()[0]))
        postmaster.send_signal(signal.SIGQUIT)
        psutil.wait_procs([postmaster], timeout=10)
        instance.cleanup()


@contextmanager
def _own_server(folder: Path) -> Iterator[Postgres]:
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or postgres is None:
        raise RuntimeError("PostgreSQL: not run (no pgserver wheel here, no postgres on PATH)")
    data = folder / "pg"
    subprocess.run([initdb, "-D", data, "-U", "postgres", "-A", "trust"], check=True)
    process = subprocess.Popen([postgres, "-D", data, "-k", data, "-h", ""])
    try:
        for _ in range(100):
            try:
                psycopg.connect(f"postgresql://postgres@/postgres?host={data}").close()
                break
            except psycopg.OperationalError:
                subprocess.run(["sleep", "0.1"], check=True)
        yield Postgres(data)
    finally:
        process.terminate()
        process.wait(20)
