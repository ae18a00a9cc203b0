"""`selvage webhooks list | show | create | change | ping | rotate-secret | deliveries | …`."""

import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api_schemas.webhooks import WebhookDelivery, WebhookEndpoint
from selvage_client.cli import flows
from selvage_client.cli.options import ApiKey, Json, Limit, Url
from selvage_client.cli.printing import plain_table, print_list, print_one, tell
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.sync_client import Selvage

Reference = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name or id, whe_….")]
Of = Annotated[str, typer.Argument(metavar="ENDPOINT|JOB", help="An endpoint, or a job's id.")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="Such as job.failed, 'job.*' or '*'; again for more."),
]
PING_SECONDS = 15.0


def group() -> typer.Typer:
    """Return the commands about webhooks."""
    webhooks = typer.Typer(help="Addresses that are told about events.", no_args_is_help=True)
    webhooks.command("list")(list_endpoints)
    webhooks.command("show")(show)
    webhooks.command("create")(create)
    webhooks.command("change")(change)
    webhooks.command("ping")(ping)
    webhooks.command("rotate-secret")(rotate_secret)
    webhooks.command("deliveries")(deliveries)
    webhooks.command("redeliver")(redeliver)
    webhooks.command("delete")(delete)
    return webhooks


def list_endpoints(
    limit: Limit = 100, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List webhook endpoints."""
    empty = "No webhook yet. Make one: selvage webhooks create NAME https://…"
    with Selvage(url, api_key) as client:
        print_list(client.webhooks.list(), json=json, table=_table, empty=empty, limit=limit)


def show(endpoint: Reference, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Show one endpoint, without its secret."""
    with Selvage(url, api_key) as client:
        found = client.webhooks.get(endpoint)
    until = found.former_secret_until
    rows = [
        ("endpoint", found.id),
        ("name", escape(found.name)),
        ("address", escape(found.url)),
        ("events", escape(_events(found))),
        ("state", escape(_state(found))),
    ]
    if until is not None:
        rows.append(("former secret", f"signs until {local_time(until)}"))
    print_one(found, json=json, table=facts_table(rows))


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as ci.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="https://…")],
    event: Events = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Have an address told; prints its signing secret, which is shown this once."""
    with Selvage(url, api_key) as client:
        made = client.webhooks.create(name, address, events=event)
    if not json:
        flows.note("The signing secret, shown this once:")
    tell(made, made.secret or "", json=json)


def change(
    endpoint: Reference,
    address: Annotated[str | None, typer.Option(help="Another address.")] = None,
    event: Events = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Switch it on or off.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Change an endpoint."""
    with Selvage(url, api_key) as client:
        found = client.webhooks.change(endpoint, url=address, events=event, enabled=enabled)
    tell(found, f"Endpoint {found.name} is changed: {_events(found)}, {_state(found)}", json=json)


def ping(endpoint: Reference, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Send a message and wait for how it goes; exit code 1 if it does not arrive at once."""
    with Selvage(url, api_key) as client:
        sent = client.webhooks.ping(endpoint)
        until = time.monotonic() + PING_SECONDS
        while not sent.attempts and time.monotonic() < until:
            time.sleep(0.3)
            sent = client.webhooks.delivery(endpoint, sent.id)
    tell(sent, _outcome(sent), json=json)
    raise typer.Exit(0 if sent.status == "delivered" else 1)


def rotate_secret(
    endpoint: Reference,
    overlap_seconds: Annotated[
        int | None, typer.Option(help="For so long both secrets sign.  [default: a day]")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Print a fresh signing secret; for a time the former one is good as well."""
    with Selvage(url, api_key) as client:
        made = client.webhooks.rotate_secret(endpoint, overlap_seconds=overlap_seconds)
    if not json and made.former_secret_until is not None:
        flows.note(f"The former secret signs until {local_time(made.former_secret_until)}.")
    tell(made, made.secret or "", json=json)


def deliveries(
    of: Of, limit: Limit = 20, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List what was sent to an endpoint, or about a job; the newest first."""
    with Selvage(url, api_key) as client:
        print_list(
            client.webhooks.deliveries(of),
            json=json,
            table=_deliveries,
            empty="Nothing was sent yet.",
            limit=limit,
        )


def redeliver(
    of: Of,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id, dlv_….")],
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Send a message again."""
    with Selvage(url, api_key) as client:
        sent = client.webhooks.redeliver(of, delivery)
    tell(sent, sent.id, json=json)


def delete(endpoint: Reference, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete an endpoint and its secret."""
    with Selvage(url, api_key) as client:
        client.webhooks.delete(endpoint)
    typer.echo(f"Webhook endpoint {endpoint} is deleted.")


def _events(one: WebhookEndpoint) -> str:
    return ", ".join(one.events) or "what jobs ask for"


def _state(one: WebhookEndpoint) -> str:
    if one.enabled:
        return "on"
    return f"off. {one.disabled_reason}" if one.disabled_reason else "off"


def _table(endpoints: Iterable[WebhookEndpoint]) -> Table:
    rows = [
        [one.name, one.url, _events(one), "on" if one.enabled else "off", one.id]
        for one in endpoints
    ]
    return plain_table(["name", "address", "events", "state", "id"], rows)


def _outcome(one: WebhookDelivery) -> str:
    if not one.attempts:
        return "waiting; does the scheduler run?"
    last = one.attempts[-1]
    if one.status == "delivered":
        return f"delivered, {last.status_code} in {last.seconds:.2f} s"
    return f"{one.status}: {last.detail}"


def _deliveries(found: Iterable[WebhookDelivery]) -> Table:
    rows = [
        [one.id, local_time(one.created_at), one.event, str(len(one.attempts)), _outcome(one)]
        for one in found
    ]
    return plain_table(["delivery", "written", "event", "attempts", "outcome"], rows)
