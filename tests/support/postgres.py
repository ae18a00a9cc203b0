"""A real PostgreSQL server for the tests, from the pgserver wheel or the machine's own."""

import importlib.util
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from storage.catalog import migrations

TEMPLATE = "selvage_template"
HAS_WHEEL = importlib.util.find_spec("pgserver") is not None


@dataclass
class Postgres:
    """A running server; `socket_folder` is where it listens."""

    socket_folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_folder}"

    def new_database(self, name: str, template: str = TEMPLATE) -> str:
        """Create a database, by default with the current schema (a copy of a migrated one)."""
        with psycopg.connect(
            f"postgresql://postgres@/postgres?host={self.socket_folder}", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def make_template(self) -> None:
        with psycopg.connect(
            f"postgresql://postgres@/postgres?host={self.socket_folder}", autocommit=True
        ) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the tests
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f'CREATE DATABASE "{TEMPLATE}"')
        migrations.upgrade(self.url(TEMPLATE))


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
