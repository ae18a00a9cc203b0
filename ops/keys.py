"""`selvage keys`: API keys, straight in the catalog; needs no running service and no key."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from api_schemas.api_keys import ApiKeyCreate, Quota
from api_schemas.problems import ProblemError
from ops.rim import failure, load_settings, open_catalog

_PAGE = 500
_SCOPE_HELP = "read, write (includes read), train, admin (includes all); repeat for several."


def create(
    name: Annotated[str, typer.Argument(help="What the key is for, to recognise it by.")],
    scope: Annotated[list[str] | None, typer.Option(help=_SCOPE_HELP)] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires.")] = None,
    jobs: Annotated[int | None, typer.Option(min=0, help="Limit: unfinished jobs.")] = None,
    queued_images: Annotated[
        int | None, typer.Option(min=0, help="Limit: unfinished images of its jobs.")
    ] = None,
    stored_bytes: Annotated[
        int | None, typer.Option(min=0, help="Limit: bytes uploaded on one day.")
    ] = None,
    device_seconds: Annotated[
        float | None, typer.Option(min=0, help="Limit: seconds of work on one day.")
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Print the key and nothing else.")] = False,
) -> None:
    """Make an API key and show it, once."""
    from domain import api_keys

    limits = {
        "jobs": jobs,
        "queued_images": queued_images,
        "stored_bytes_per_day": stored_bytes,
        "device_seconds_per_day": device_seconds,
    }
    given = {key: value for key, value in limits.items() if value is not None}
    try:
        request = ApiKeyCreate(
            name=name,
            scopes=scope or ["write"],
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
            quota=Quota.model_validate(given) if given else None,
        )
    except (ValidationError, OverflowError) as error:
        raise failure(_named(error)) from None
    with open_catalog(load_settings()) as catalog:
        try:
            with catalog.write() as session:
                row, secret = api_keys.create(session, request, created_by="local")
        except ProblemError as error:
            raise failure(error.detail) from None
    typer.echo(secret)
    if not quiet:
        typer.echo(
            f"This is the key {row.id} '{row.name}' ({', '.join(row.scopes)}). It is not shown "
            "again. Send it as `Authorization: Bearer …`.",
            err=True,
        )


def list_keys() -> None:
    """Show all API keys, newest first."""
    from domain.api_keys import document_of
    from storage.catalog import api_keys

    table = Table("id", "name", "key", "scopes", "status", "expires", "last used", "made by")
    after = None
    with open_catalog(load_settings()) as catalog:
        while True:
            with catalog.read() as session:
                rows = api_keys.list_keys(session, after, _PAGE)
            for row in rows:
                table.add_row(*_cells(document_of(row, time.time())))
            if len(rows) < _PAGE:
                break
            after = rows[-1].id
    Console().print(table)


def revoke(
    key: Annotated[str, typer.Argument(help="The id of the key, as `selvage keys list` shows it.")],
) -> None:
    """Take an API key back, at once and for good; what it made stays."""
    from domain import api_keys

    with open_catalog(load_settings()) as catalog:
        try:
            with catalog.write() as session:
                api_keys.revoke(session, key)
        except ProblemError:
            raise failure(f"There is no API key '{key}'. `selvage keys list` shows them.") from None
    typer.echo(f"{key} is revoked.")


def _cells(document: dict[str, Any]) -> list[str]:
    return [
        document["id"],
        _printable(document["name"]),
        document["hint"] + "…",
        ", ".join(document["scopes"]),
        document["status"],
        _day(document["expires_at"]),
        _day(document["last_used_at"]),
        document["created_by"],
    ]


def _printable(text: str) -> str:
    """Names come over HTTP: no control characters and no markup for the terminal."""
    shown = "".join(c if c.isprintable() else "·" for c in text)
    return shown.replace("[", "\\[")


def _day(time: datetime | None) -> str:
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M")


def _named(error: ValidationError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "--days is too large."
    return "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
