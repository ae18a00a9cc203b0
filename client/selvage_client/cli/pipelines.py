"""`selvage pipelines list | show | create`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api_schemas.pipelines import PipelineVersion, parse_pipeline_reference
from selvage_client.cli.options import ApiKey, Json, Limit, Url, read_json
from selvage_client.cli.printing import plain_table, print_list, tell
from selvage_client.cli.tables import local_time
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage


def group() -> typer.Typer:
    """Return the commands about pipelines."""
    pipelines = typer.Typer(help="Pipeline configurations with a name.", no_args_is_help=True)
    pipelines.command("list")(list_pipelines)
    pipelines.command("show")(show)
    pipelines.command("create")(create)
    return pipelines


def list_pipelines(
    limit: Limit = 100, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List pipelines, each in its latest version."""
    empty = "No pipeline has a name yet. Give one: selvage pipelines create NAME FILE"
    with Selvage(url, api_key) as client:
        print_list(client.pipelines.list(), json=json, table=_table, empty=empty, limit=limit)


def show(
    pipeline: Annotated[str, typer.Argument(help="`name`, or `name@2`.")],
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Print the configuration of a pipeline as JSON; with --json all that is known of it."""
    try:
        name, version = parse_pipeline_reference(pipeline)
    except ValueError as error:
        raise invalid_input(f"{error}.") from error
    with Selvage(url, api_key) as client:
        if version is None:
            found = client.pipelines.get(name)
        else:
            found = client.pipelines.version(name, version)
    tell(found, found.config.model_dump_json(indent=2), json=json)


def create(
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and . _ -")],
    file: Annotated[Path, typer.Argument(help="JSON file with the configuration; `-` is stdin.")],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Store a configuration as the next version of a name, and print how to refer to it."""
    config = read_json(file, "{'predict': {}}")
    with Selvage(url, api_key) as client:
        made = client.pipelines.create(name, config, description=description)
    tell(made, made.reference, json=json)


def _table(pipelines: Iterable[PipelineVersion]) -> Table:
    rows = [
        [
            one.reference,
            " ".join(one.config.stages),
            one.description or "",
            local_time(one.created_at),
        ]
        for one in pipelines
    ]
    return plain_table(["pipeline", "stages", "description", "created"], rows)
