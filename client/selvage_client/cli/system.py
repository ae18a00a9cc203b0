"""`selvage system | quota | delete`."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Group
from rich.markup import escape

from api_schemas.api_keys import QuotaReport
from api_schemas.system import System
from selvage_client.cli.options import ApiKey, Force, Json, Url, model_version
from selvage_client.cli.printing import plain_table, print_one
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.sync_client import Selvage


def register(app: typer.Typer) -> None:
    """Add the commands about the whole service."""
    app.command()(system)
    app.command()(quota)
    app.command()(delete)


def system(url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show what the service is made of and what it is doing."""
    with Selvage(url, api_key) as client:
        found = client.system()
    print_one(found, json=json, table=_system(found))


def quota(url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show limits and use of your API key."""
    with Selvage(url, api_key) as client:
        found = client.quota()
    print_one(found, json=json, table=_quota(found))


def delete(
    things: Annotated[
        list[str],
        typer.Argument(
            metavar="ID…", help="job_…, set_…, ann_…, lab_…, upl_…, sch_…, con_…, or a demo:2."
        ),
    ],
    force: Force = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Delete anything by its id; a model version by its name."""
    with Selvage(url, api_key) as client:
        chosen = [(thing, _deletion(client, thing, force=force)) for thing in things]
        for thing, delete_it in chosen:
            delete_it()
            typer.echo(f"{thing} is deleted.")


def _deletion(client: Selvage, thing: str, *, force: bool) -> Callable[[], None]:
    """Return what deletes a thing.

    Raises:
        InvalidInput: it is neither an id nor a version of a model.
    """
    by_prefix: dict[str, Callable[[], None]] = {
        "job": lambda: client.delete_job(thing, force=force),
        "set": lambda: client.delete_image_set(thing, force=force),
        "ann": lambda: client.delete_annotation_set(thing, force=force),
        "lab": lambda: client.delete_label(thing, force=force),
        "upl": lambda: client.uploads.delete(thing),
        "sch": lambda: client.schedules.delete(thing),
        "con": lambda: client.connections.delete(thing),
    }
    prefix, underscore, _ = thing.partition("_")
    if underscore and prefix in by_prefix and ":" not in thing:
        return by_prefix[prefix]
    name, version = model_version(thing)
    return lambda: client.delete_version(name, version, force=force)


def _system(found: System) -> Group:
    database = found.database
    facts = facts_table(
        [
            ("version", escape(found.version)),
            ("database", f"{escape(database.kind)} {escape(database.version)}"),
            ("store", found.store),
            ("broker", found.broker),
            ("API keys", "asked for" if found.keys else "not asked for"),
            ("unfinished", f"{found.unfinished_jobs} jobs, {found.waiting_images} images"),
        ]
    )
    queues = plain_table(
        ["queue", "ready", "sent", "claimed"],
        [[q.name, str(q.ready), str(q.sent), str(q.claimed)] for q in found.queues],
    )
    workers = plain_table(
        ["worker", "queue", "device", "alive", "seen"],
        [
            [w.id, w.queue, w.device, "yes" if w.alive else "no", local_time(w.seen_at)]
            for w in found.workers
        ],
    )
    return Group(facts, "", queues, "", workers)


def _quota(found: QuotaReport) -> Group:
    facts = facts_table(
        [("key", f"{escape(found.name)} ({found.principal})"), ("scopes", ", ".join(found.scopes))]
    )
    limits = found.limits.model_dump()
    rows = [
        [
            name.replace("_", " "),
            f"{used:g}",
            "none" if limits[name] is None else f"{limits[name]:g}",
        ]
        for name, used in found.used.model_dump().items()
    ]
    return Group(facts, "", plain_table(["", "used", "limit"], rows))
