"""`selvage db`: the schema of the catalog."""

from typing import Annotated

import typer

from ops.rim import failure, load_settings, open_catalog


def check() -> None:
    """Say whether the catalog can be reached and has the schema of this version."""
    with open_catalog(load_settings()):
        typer.echo("The catalog has the schema of this version.")


def downgrade(
    revision: Annotated[
        str, typer.Argument(help="Schema to go back to, such as 0001; `base` drops every table.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it: what the newer schema holds is lost.")
    ] = False,
) -> None:
    """Take the catalog back to an older schema, for an older version of the program.

    Stop the service first, and make a copy with `selvage db backup`.
    """
    # Imported here: SQLAlchemy takes a while, and `selvage --help` should not.
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import OperationalError

    from storage.catalog import migrations

    if not yes:
        raise failure(
            f"Going back to '{revision}' drops what the newer schema holds. Make a copy with "
            "`selvage db backup FILE`, stop the service, and repeat with --yes."
        )
    settings = load_settings()
    try:
        migrations.downgrade(settings.catalog_url, revision)
    except CommandError as error:
        raise failure(f"There is no way to '{revision}': {error}") from None
    except OperationalError as error:
        raise failure(f"The catalog cannot be reached: {error.orig}") from None
    typer.echo(f"The catalog has the schema {revision}.")
