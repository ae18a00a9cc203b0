"""`selvage label-sets list | show | create | delete`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from api_schemas.label_sets import LabelSet
from selvage_client.cli.options import ApiKey, Force, Json, Limit, Url, read_json
from selvage_client.cli.printing import plain_table, print_list, print_one, tell
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage

LabelSetId = Annotated[str, typer.Argument(metavar="LABEL-SET", help="Id of a label set, lbs_….")]


def group() -> typer.Typer:
    """Return the commands about label sets."""
    sets = typer.Typer(help="Frozen selections of labels.", no_args_is_help=True)
    sets.command("list")(list_sets)
    sets.command("show")(show)
    sets.command("create")(create)
    sets.command("delete")(delete)
    return sets


def list_sets(
    limit: Limit = 50, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List label sets, the newest first."""
    empty = "No label set yet. Freeze one: selvage label-sets create JOB"
    with Selvage(url, api_key) as client:
        print_list(client.label_sets.list(), json=json, table=_table, empty=empty, limit=limit)


def show(
    label_set: LabelSetId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Show one label set and what it holds."""
    with Selvage(url, api_key) as client:
        found = client.label_sets.get(label_set)
    print_one(found, json=json, table=_details(found))


def create(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]…", help="Jobs whose labels to choose from.")
    ] = None,
    annotations: Annotated[
        str | None, typer.Option(metavar="SET", help="Labels by people, ann_…; they go first.")
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Least expected accuracy.")
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Least share of kept pixels.")
    ] = None,
    max_images: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --max-images: so that rare classes stay.")
    ] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only images that show this class; may be repeated."),
    ] = None,
    reviewed_only: Annotated[
        bool, typer.Option("--reviewed-only", help="Only images of --annotations.")
    ] = False,
    selection: Annotated[
        Path | None, typer.Option(help="JSON file with the selection, in place of these options.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What you call it.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Freeze a selection of labels."""
    options = {
        "min_quality": min_quality,
        "min_coverage": min_coverage,
        "max_images": max_images,
        "balance": "classes" if balance else None,
        "classes": classes or None,
        "reviewed_only": reviewed_only or None,
    }
    chosen = _selection(selection, {n: value for n, value in options.items() if value is not None})
    with Selvage(url, api_key) as client:
        made = client.label_sets.create(
            jobs or (), annotation_set=annotations, selection=chosen, name=name
        )
    tell(made, made.id, json=json)


def delete(
    label_set: LabelSetId, force: Force = False, url: Url = None, api_key: ApiKey = None
) -> None:
    """Delete a label set; its labels stay as long as a job shows them."""
    with Selvage(url, api_key) as client:
        client.label_sets.delete(label_set, force=force)
    typer.echo(f"Label set {label_set} is deleted.")


def _selection(file: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    if file is None:
        return options
    if options:
        raise invalid_input("Give either --selection FILE or the options that it stands for.")
    return read_json(file, "{'min_quality': 0.8}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _table(sets: Iterable[LabelSet]) -> Table:
    rows = [
        [one.id, one.name or "", str(one.images), str(one.reviewed), _share(one.quality),
         local_time(one.created_at)]
        for one in sets
    ]  # fmt: skip
    return plain_table(["label set", "name", "images", "reviewed", "quality", "frozen"], rows)


def _details(one: LabelSet) -> Group:
    rows = [
        ("label set", one.id),
        ("name", escape(one.name or "–")),
        ("images", f"{one.images}, {one.reviewed} of them labelled by people"),
        ("quality", _share(one.quality)),
        ("coverage", _share(one.coverage)),
        ("digest", one.digest or "–"),
    ]
    rows += [("from job", job) for job in one.jobs]
    if one.annotation_set:
        rows.append(("from annotations", one.annotation_set))
    if one.campaign:
        rows.append(("frozen for", f"{one.campaign}, round {one.round}"))
    if one.missing:
        rows.append(("missing", f"[red]{one.missing} labels were deleted since[/red]"))
    total = sum(one.class_pixels.values())
    classes = [
        [name, _share(n / total), str(one.class_images.get(name, 0))]
        for name, n in one.class_pixels.items()
        if n
    ]
    table = plain_table(["class", "kept pixels", "images"], classes)
    return Group(facts_table(rows), *([table] if classes else []))
