"""`selvage export`, and `selvage exports list | show | cancel | delete | download`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from api_schemas.exports import Export, ExportFormat, ExportReport
from selvage_client.cli import flows
from selvage_client.cli.bars import file_bar
from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import ApiKey, Force, Json, Limit, Url
from selvage_client.cli.printing import plain_table, print_list, print_one
from selvage_client.cli.tables import facts_table, local_time, styled
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage

ExportId = Annotated[str, typer.Argument(metavar="EXPORT", help="Id of an export, job_….")]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="File or folder for the zip.", show_default="here")
]
FORMATS = get_args(ExportFormat)
_SOURCES = {"job_": "job", "lbs_": "label_set", "set_": "image_set"}


def register(app: typer.Typer) -> None:
    """Add `selvage export`."""
    app.command("export")(export)


def group() -> typer.Typer:
    """Return the commands about exports."""
    exports = typer.Typer(help="Labels in the formats of tools.", no_args_is_help=True)
    exports.command("list")(list_exports)
    exports.command("show")(show)
    exports.command("download")(download)
    exports.command("cancel")(cancel)
    exports.command("delete")(delete)
    return exports


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Whose labels: a job, a label set, or an image set (its newest labels).",
        ),
    ],
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", "-f", help=f"One of: {', '.join(FORMATS)}.")
    ] = "mask-png",
    out: Out = Path(),
    min_quality: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Least expected accuracy.")
    ] = None,
    reviewed_only: Annotated[
        bool, typer.Option("--reviewed-only", help="Only labels that people made or accepted.")
    ] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Write this class, ignore others; may be repeated."),
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Put the images in as well.")] = False,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="More: split=val, image_url=s3://…."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="CONNECTION:PREFIX", help="Into a bucket, in place of --out."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what would lose something.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would hold and lose.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Export labels in the format of a tool, with a bar, and fetch the zip."""
    filters = {"min_quality": min_quality, "reviewed_only": reviewed_only or None,
               "classes": classes or None}  # fmt: skip
    asked: dict[str, Any] = {
        "filters": {name: value for name, value in filters.items() if value is not None},
        "options": {**_options(options or []), **({"include_images": True} if images else {})},
    }
    wanted: Any = format
    with Selvage(url, api_key) as client:
        if dry_run:
            report = client.exports.validate(wanted, _source(source), **asked)
            print_one(report, json=json, table=_report(report))
            return
        made = client.exports.create(
            wanted, _source(source), destination=_destination(to), strict=strict, **asked
        )
        with flows.resumable(f"The export goes on: selvage exports download {made.id}"):
            job = flows.watch_job(client, made.id)
            done = client.exports.get(made.id)
            where = _fetch(client, done, out) if "download" in done.links else None
    if json:
        typer.echo(done.model_dump_json(indent=2))
    else:
        output_console().print(_details(done, where))
    raise typer.Exit(flows.exit_code(job))


def list_exports(
    limit: Limit = 50, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List exports, the newest first."""
    empty = "No export yet. Make one: selvage export JOB --format coco"
    with Selvage(url, api_key) as client:
        print_list(client.exports.list(), json=json, table=_table, empty=empty, limit=limit)


def show(export: ExportId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show one export and what it lost."""
    with Selvage(url, api_key) as client:
        found = client.exports.get(export)
    print_one(found, json=json, table=_details(found, None))


def download(export: ExportId, out: Out = Path(), url: Url = None, api_key: ApiKey = None) -> None:
    """Fetch the zip of an export; waits for its end."""
    with Selvage(url, api_key) as client:
        flows.watch_job(client, export)
        typer.echo(str(_fetch(client, client.exports.get(export), out)))


def cancel(export: ExportId, url: Url = None, api_key: ApiKey = None) -> None:
    """Stop an export; no half file is left."""
    with Selvage(url, api_key) as client:
        found = client.exports.cancel(export)
    typer.echo(f"Export {found.id} is {found.status}.")


def delete(export: ExportId, force: Force = False, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete an export with its file."""
    with Selvage(url, api_key) as client:
        client.exports.delete(export, force=force)
    typer.echo(f"Export {export} is deleted.")


def _fetch(client: Selvage, export: Export, out: Path) -> Path:
    with file_bar() as on_bytes:
        return client.exports.download(export.id, out, on_bytes=on_bytes)


def _source(text: str) -> dict[str, str]:
    kind = _SOURCES.get(text[:4])
    if kind is None:
        raise invalid_input(
            f"'{text[:80]}' is no id of a job (job_…), a label set (lbs_…) or an image set (set_…)."
        )
    return {kind: text}


def _destination(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    connection, _, prefix = text.partition(":")
    if not connection or (prefix and not prefix.endswith("/")):
        raise invalid_input("Give --to as CONNECTION:PREFIX/, with a slash at its end.")
    return {"connection": connection, "prefix": prefix}


def _options(pairs: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise invalid_input(f"Give --option as NAME=VALUE, not '{pair[:80]}'.")
        if name == "class_map":
            ours, _, theirs = value.partition(":")
            found.setdefault("class_map", {})[ours] = theirs
            continue
        found[name] = {"true": True, "false": False}.get(value, value)
    return found


def _table(exports: Iterable[Export]) -> Table:
    rows = [
        [one.id, one.format, styled(one.status), str(one.counts.succeeded),
         _size(one.size_bytes), local_time(one.created_at)]
        for one in exports
    ]  # fmt: skip
    return plain_table(["export", "format", "status", "labels", "size", "asked for"], rows)


def _size(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


def _details(one: Export, where: Path | None) -> Group:
    rows = [
        ("export", one.id),
        ("format", one.format),
        ("status", styled(one.status)),
        ("labels", f"{one.counts.succeeded} ({one.counts.failed} failed)"),
        ("files", str(one.files or "–")),
        ("size", _size(one.size_bytes)),
    ]
    if where is not None:
        rows.append(("zip", escape(str(where))))
    if one.expires_at is not None:
        rows.append(("kept until", local_time(one.expires_at)))
    if one.error is not None:
        rows.append(("why", escape(one.error.detail)))
    return Group(facts_table(rows), *([_report(one.report)] if one.report else []))


def _report(report: ExportReport) -> Group:
    rows = [("labels", str(report.labels))]
    rows += [(f"left out, {reason}", str(n)) for reason, n in sorted(report.left_out.items())]
    losses = [
        [_kind(loss.is_loss, loss.may_happen), loss.code, escape(loss.detail)]
        for loss in report.losses
    ]
    table = plain_table(["", "what", ""], losses)
    return Group(facts_table(rows), *([table] if losses else []))


def _kind(is_loss: bool, may_happen: bool) -> str:
    if not is_loss:
        return "remark"
    return "[yellow]may be lost[/yellow]" if may_happen else "[red]lost[/red]"
