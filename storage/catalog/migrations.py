"""Schema of the catalog: built and changed by Alembic alone, under a lock."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from storage.catalog.engine import make_engine

SCRIPTS = Path(__file__).parent / "alembic"
_POSTGRES_LOCK = 0x5E1FA6E


class SchemaMismatch(RuntimeError):
    """The catalog has a schema that this version of the program does not know."""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    # Alembic's configuration interpolates %: double it, passwords may hold one
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the catalog to `revision`. Several processes may call this at once."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "catalog.sqlite3")
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.migration-lock"):
            command.upgrade(_config(url), revision)
        return
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _POSTGRES_LOCK})
            try:
                command.upgrade(_config(url), revision)
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _POSTGRES_LOCK})
    finally:
        engine.dispose()


def downgrade(url: str, revision: str = "base") -> None:
    """Take the catalog back to `revision`; data of dropped tables is lost."""
    command.downgrade(_config(url), revision)


@cache
def _head() -> str | None:
    """The last revision, of the scripts as they are when it is first asked for."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


def require_current(engine: Engine) -> None:
    """Check that the catalog has the schema that this program was written for.

    Raises:
        SchemaMismatch: with what to do about it.
    """
    head = _head()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != head:
        raise SchemaMismatch(
            f"The catalog has schema {found or 'none'}, this program needs {head}. "
            "Run `selvage db upgrade` (or use the program version that wrote the catalog)."
        )
