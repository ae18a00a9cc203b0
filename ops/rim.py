"""Between commands and the shell: settings in, failures out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError

from domain.settings import Settings


def load_settings(**given: Any) -> Settings:
    """Return the settings of the environment, with the options that were given.

    Raises:
        typer.Exit: a variable is wrong; it was named.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"SELVAGE_{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise failure(problems) from None


def failure(message: str) -> typer.Exit:
    """Say what went wrong; raise what is returned."""
    typer.echo(message, err=True)
    return typer.Exit(1)


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Any]:
    """The catalog itself, for commands that work without a running service.

    Raises:
        typer.Exit: it cannot be reached, or has another schema; it was said.
    """
    # Imported here: SQLAlchemy takes a while, and `selvage --help` should not.
    from sqlalchemy.exc import OperationalError

    from storage.catalog.engine import Catalog
    from storage.catalog.migrations import SchemaMismatch, require_current

    catalog = Catalog(settings.catalog_url)
    try:
        require_current(catalog.engine)
        yield catalog
    except SchemaMismatch as error:
        raise failure(str(error)) from None
    except OperationalError as error:
        raise failure(f"The catalog cannot be reached: {error.orig}") from None
    finally:
        catalog.close()
