"""`selvage models list | show`; the operator's half adds `add` and `convert`."""

from typing import Annotated

import typer
from pydantic_core import to_json

from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import Json, Url
from selvage_client.cli.tables import models_table, versions_table
from selvage_client.sync_client import Selvage


def group() -> typer.Typer:
    """Return the commands about models."""
    models = typer.Typer(help="Models of the service.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command("show")(show_model)
    return models


def list_models(url: Url = None, json: Json = False) -> None:
    """List the registered models."""
    with Selvage(url) as client:
        found = list(client.models())
    if json:
        typer.echo(to_json(found, indent=2))
    elif found:
        output_console().print(models_table(found))
    else:
        typer.echo("No model is registered. Add one: selvage models add FOLDER --name NAME")


def show_model(
    name: Annotated[str, typer.Argument(help="Name of a model.")],
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the versions and classes of a model."""
    with Selvage(url) as client:
        versions = client.versions(name)
    if json:
        typer.echo(to_json(versions, indent=2))
        return
    console = output_console()
    console.print(versions_table(versions))
    if versions:
        newest = max(versions, key=lambda version: version.version)
        known = newest.ontology.classes if newest.ontology else ()
        classes = ", ".join(f"{c.id} {c.name}" for c in known) or "not known yet"
        console.print(f"classes of {newest.reference}: {classes}", highlight=False, markup=False)
