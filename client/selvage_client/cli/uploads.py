"""`selvage uploads list | show | send | delete`, and `selvage upload FILE`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api_schemas.uploads import UploadSummary
from selvage_client.cli import flows
from selvage_client.cli.options import ApiKey, Json, Limit, Url
from selvage_client.cli.printing import plain_table, print_list, print_one, size, tell
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.sync_client import Selvage

UploadId = Annotated[str, typer.Argument(metavar="UPLOAD", help="Id of an upload, upl_….")]


def register(app: typer.Typer) -> None:
    """Add the commands about uploads."""
    uploads = typer.Typer(help="Large files in parts that can be resumed.", no_args_is_help=True)
    uploads.command("list")(list_uploads)
    uploads.command("show")(show)
    uploads.command("send")(send)
    uploads.command("delete")(delete)
    app.add_typer(uploads, name="uploads")
    app.command("upload")(send)


def list_uploads(
    limit: Limit = 20, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List uploads, the newest first."""
    empty = "No upload yet. Begin one: selvage uploads send FILE"
    with Selvage(url, api_key) as client:
        print_list(client.uploads.list(), json=json, table=_table, empty=empty, limit=limit)


def show(upload: UploadId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show one upload and how much of it is there."""
    with Selvage(url, api_key) as client:
        found = client.uploads.get(upload)
        stored = 0
        if not json:
            stored = sum(part.status == "stored" for part in client.uploads.parts(upload))
    rows = [
        ("upload", found.id),
        ("status", found.status),
        ("size", size(found.size_bytes)),
        ("parts", f"{stored} of {found.part_count}"),
        ("expires", local_time(found.expires_at)),
    ]
    print_one(found, json=json, table=facts_table(rows))


def send(
    file: Annotated[Path, typer.Argument(help="An archive of images or of a model.")],
    resume: Annotated[
        str | None, typer.Option(metavar="UPLOAD", help="Go on with this upload of the same file.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Send a file of any size and print the id of the upload."""
    with Selvage(url, api_key) as client:
        upload = flows.send_in_parts(client, file, resume)
    tell(upload, upload.id, json=json)


def delete(upload: UploadId, url: Url = None, api_key: ApiKey = None) -> None:
    """Abort an upload, or delete what is complete."""
    with Selvage(url, api_key) as client:
        client.uploads.delete(upload)
    typer.echo(f"Upload {upload} is deleted.")


def _table(uploads: Iterable[UploadSummary]) -> Table:
    rows = [
        [one.id, one.file_name, one.status, size(one.size_bytes), local_time(one.expires_at)]
        for one in uploads
    ]
    return plain_table(["upload", "file", "status", "size", "expires"], rows)
