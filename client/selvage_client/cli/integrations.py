"""`selvage integrations create | list | delete`."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from api_schemas.integrations import Integration
from selvage_client.cli.options import ApiKey, Json, Url
from selvage_client.cli.printing import plain_table, print_list, tell
from selvage_client.sync_client import Selvage

Name = Annotated[str, typer.Argument(help="What tools know it by: it is part of their address.")]


def group() -> typer.Typer:
    """Return the commands about integrations."""
    found = typer.Typer(help="Labels for Label Studio and CVAT.", no_args_is_help=True)
    found.command("create")(create)
    found.command("list")(list_integrations)
    found.command("delete")(delete)
    return found


def create(
    name: Name,
    image_set: Annotated[str, typer.Option(help="Whose images the tool shows, set_….")],
    model: Annotated[str, typer.Option("--model", "-m", help="Whose labels are shown.")],
    pipeline: Annotated[str | None, typer.Option(help="Name of a stored pipeline.")] = None,
    connection: Annotated[
        str | None, typer.Option(help="Of kind label_studio: for what comes later.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Make a profile; prints the address for Label Studio."""
    with Selvage(url, api_key) as client:
        made = client.integrations.create(
            name, image_set, model, pipeline=pipeline, connection=connection
        )
    tell(made, made.links["label_studio"], json=json)


def list_integrations(url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """List profiles and the tasks that wait."""
    with Selvage(url, api_key) as client:
        found = client.integrations.list()
    print_list(found, json=json, table=_table, empty="No integration yet.")


def delete(name: Name, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete a profile; its labels stay."""
    with Selvage(url, api_key) as client:
        client.integrations.delete(name)
    typer.echo(f"Integration {name} is deleted.")


def _table(found: Iterable[Integration]) -> Table:
    rows = [
        [one.name, one.model, one.image_set, str(one.tasks["waiting"]), str(one.tasks["pushed"]),
         str(one.tasks["failed"])]
        for one in found
    ]  # fmt: skip
    return plain_table(["name", "model", "image set", "waiting", "pushed", "failed"], rows)
