"""`selvage models list | show | upload | promote`; the operator's half adds the others."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json

from api_schemas.models import REGION_MODEL_KIND
from selvage_client.cli import flows
from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import ApiKey, Json, Url, Wait, is_id, model_version
from selvage_client.cli.printing import tell
from selvage_client.cli.tables import models_table, versions_table
from selvage_client.packing import model_archive
from selvage_client.sync_client import Selvage


def group() -> typer.Typer:
    """Return the commands about models."""
    models = typer.Typer(help="Models of the service.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command("show")(show_model)
    models.command("upload")(upload_model)
    models.command("promote")(promote_model)
    return models


def list_models(url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """List the registered models."""
    with Selvage(url, api_key) as client:
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
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Show the versions and classes of a model."""
    with Selvage(url, api_key) as client:
        versions = client.versions(name)
    if json:
        typer.echo(to_json(versions, indent=2))
        return
    console = output_console()
    console.print(versions_table(versions))
    if versions:
        newest = max(versions, key=lambda version: version.version)
        if newest.kind == REGION_MODEL_KIND:
            return
        known = newest.ontology.classes if newest.ontology else ()
        classes = ", ".join(f"{c.id} {c.name}" for c in known) or "not known yet"
        console.print(f"classes of {newest.reference}: {classes}", highlight=False, markup=False)


def upload_model(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of a bundle or a Hugging Face model, a zip or tar, or the id of an upload."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the model; it gets the next version.")],
    promote: Annotated[
        bool, typer.Option("--promote", help="Let the bare name mean it, once it is ready.")
    ] = False,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Send a model in parts that can be resumed, and start the job that checks it."""
    with Selvage(url, api_key) as client:
        upload_id = str(source)
        if not is_id("upl", source):
            with model_archive(source) as archive:
                upload_id = flows.send_in_parts(client, archive, passing=archive != source).id
        wanted = {"type": "upload", "upload": upload_id}
        job = client.create_version(name, wanted, promote=promote)
        flows.start_and_tell(client, job, wait=wait, json=json, url=url)


def promote_model(
    reference: Annotated[str, typer.Argument(help="Such as `demo:2`.")],
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Let the bare name of a model mean this version."""
    name, version = model_version(reference)
    with Selvage(url, api_key) as client:
        model = client.promote(name, version)
    tell(model, f"{model.name} means version {model.current_version} now.", json=json)
