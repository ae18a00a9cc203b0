"""Alembic's entry: runs the revisions on the address that `storage.catalog.migrations` gives."""

from alembic import context

from storage.catalog.engine import make_engine
from storage.catalog.tables import Base


def _run() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise RuntimeError("use storage.catalog.migrations, which passes the address")
    engine = make_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Batch mode drops and renames tables, and a dropped table takes the rows that refer
            # to it along. The pragma does nothing inside a transaction, so it is said before one.
            connection.connection.execute("PRAGMA foreign_keys=OFF")
        # batch mode: SQLite cannot alter tables in place
        context.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=True
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


_run()
