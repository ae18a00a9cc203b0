"""`selvage image-sets list | show | create | create-from … | delete`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from api_schemas.image_sets import ImageSet
from selvage_client.cli import flows
from selvage_client.cli.bars import upload_bar
from selvage_client.cli.consoles import errors_console
from selvage_client.cli.options import ApiKey, Force, Images, Json, Limit, Url, Wait
from selvage_client.cli.printing import plain_table, print_list, print_one, tell
from selvage_client.cli.tables import facts_table, local_time, reasons_table
from selvage_client.sync_client import Selvage

SetId = Annotated[str, typer.Argument(metavar="SET", help="Id of an image set, set_….")]
Name = Annotated[str | None, typer.Option(help="What you call it.")]
Connection = Annotated[
    str | None, typer.Option(help="Connection whose credentials are used; none for public URLs.")
]


def group() -> typer.Typer:
    """Return the commands about image sets."""
    sets = typer.Typer(help="Sets of images.", no_args_is_help=True)
    sets.command("list")(list_sets)
    sets.command("show")(show)
    sets.command("create")(create)
    sets.command("delete")(delete)
    elsewhere = typer.Typer(help="Let the service fetch the images.", no_args_is_help=True)
    elsewhere.command("urls")(from_urls)
    elsewhere.command("s3-prefix")(from_prefix)
    elsewhere.command("manifest")(from_manifest)
    elsewhere.command("upload")(from_upload)
    sets.add_typer(elsewhere, name="create-from")
    return sets


def list_sets(
    limit: Limit = 20, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List image sets, the newest first."""
    empty = "No image set yet. Make one: selvage image-sets create FOLDER"
    with Selvage(url, api_key) as client:
        print_list(client.image_sets(), json=json, table=_table, empty=empty, limit=limit)


def show(image_set: SetId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show one image set and why files of it were rejected."""
    with Selvage(url, api_key) as client:
        found = client.image_set(image_set)
        print_one(found, json=json, table=facts_table(_facts(found)))
        if not json and found.counts.rejected:
            errors_console().print(reasons_table(flows.rejected_images(client, found.id)))


def create(
    images: Images,
    name: Name = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse all files if one of them cannot be used.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Send images without starting a job."""
    handling: Any = "strict" if strict else None
    with Selvage(url, api_key) as client, upload_bar() as on_bytes:
        report = client.create_image_set(images, name=name, handling=handling, on_bytes=on_bytes)
    if rejected := flows.rejected_files(report):
        errors_console().print(reasons_table(rejected))
    tell(report, report.id, json=json)


def from_urls(
    urls: Annotated[list[str], typer.Argument(metavar="URL…", help="http(s), or s3 keys.")],
    connection: Connection = None,
    name: Name = None,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Files by URL."""
    source = {"type": "urls", "urls": urls, "connection": connection}
    _start(source, name, wait=wait, url=url, api_key=api_key, json=json)


def from_prefix(
    connection: Annotated[str, typer.Argument(help="Connection of kind s3.")],
    prefix: Annotated[str, typer.Argument(help="Where keys begin.")] = "",
    suffix: Annotated[
        list[str] | None, typer.Option(help="Only keys that end so; may be repeated.")
    ] = None,
    max_files: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    name: Name = None,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """All files of a bucket below a prefix."""
    source = {
        "type": "s3_prefix",
        "connection": connection,
        "prefix": prefix,
        "suffixes": suffix or None,
        "max_files": max_files,
    }
    _start(source, name, wait=wait, url=url, api_key=api_key, json=json)


def from_manifest(
    manifest: Annotated[
        str, typer.Argument(help="URL of the list, or with --connection also its key.")
    ],
    connection: Connection = None,
    name: Name = None,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Files named by a list: a URL or key a line, or JSON lines."""
    field = "url" if "://" in manifest else "key"
    source = {"type": "manifest", field: manifest, "connection": connection}
    _start(source, name, wait=wait, url=url, api_key=api_key, json=json)


def from_upload(
    upload: Annotated[str, typer.Argument(help="Id of a complete upload, or a file to upload.")],
    name: Name = None,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """An archive that was sent by `selvage uploads send`, or is sent now."""
    if Path(upload).is_file():
        with Selvage(url, api_key) as client:
            upload = flows.send_in_parts(client, Path(upload)).id
    source = {"type": "upload", "upload": upload}
    _start(source, name, wait=wait, url=url, api_key=api_key, json=json)


def delete(image_set: SetId, force: Force = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete an image set and its annotation sets."""
    with Selvage(url, api_key) as client:
        client.delete_image_set(image_set, force=force)
    typer.echo(f"Image set {image_set} is deleted.")


def _start(
    source: dict[str, Any],
    name: str | None,
    *,
    wait: bool,
    url: str | None,
    api_key: str | None,
    json: bool,
) -> None:
    given = {field: value for field, value in source.items() if value is not None}
    with Selvage(url, api_key) as client:
        created = client.create_image_set_from(given, name=name)
        job = created.job
        if wait:
            with flows.resumable(flows.watch_hint(job.id, url)):
                job = flows.watch_job(client, job.id)
            image_set = client.image_set(created.image_set.id)
            created = created.model_copy(update={"job": job, "image_set": image_set})
            if job.error is not None and not json:
                flows.note(f"{job.error.title}. {job.error.detail}")
        else:
            flows.note(
                f"Job {job.id} fetches the images. Then label them: "
                f"selvage submit {created.image_set.id} --model NAME"
            )
    tell(created, created.image_set.id, json=json)
    if wait:
        raise typer.Exit(flows.exit_code(job))


def _table(sets: Iterable[ImageSet]) -> Table:
    rows = [
        [
            one.id,
            one.name or "",
            one.status,
            f"{one.counts.accepted}",
            f"{one.counts.rejected}",
            local_time(one.created_at),
        ]
        for one in sets
    ]
    return plain_table(["image set", "name", "status", "images", "rejected", "created"], rows)


def _facts(one: ImageSet) -> list[tuple[str, str]]:
    counts = one.counts
    rows = [("image set", one.id), ("status", one.status)]
    if one.name:
        rows.append(("name", escape(one.name)))
    rows.append(
        ("images", f"{counts.accepted} and {counts.duplicate} duplicates of {counts.total} files")
    )
    rows.append(("created", local_time(one.created_at)))
    rows += [(f"  {name}", escape(str(value))) for name, value in (one.source or {}).items()]
    if one.problem:
        rows.append(
            ("problem", f"[red]{escape(one.problem.title)}.[/red] {escape(one.problem.detail)}")
        )
    return rows
