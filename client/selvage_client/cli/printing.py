"""How commands print what they found: JSON for scripts, tables for people."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, TypeVar

import typer
from pydantic import BaseModel
from pydantic_core import to_json
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from selvage_client.cli.consoles import output_console

_UNITS: Final = ("kB", "MB", "GB", "TB")
EntryT = TypeVar("EntryT")


def print_list(
    found: Iterable[EntryT],
    *,
    json: bool,
    table: Callable[[list[EntryT]], RenderableType],
    empty: str,
    limit: int | None = None,
) -> None:
    """Print a listing; `empty` says what to do where there is nothing."""
    entries = list(islice(found, limit))
    if json:
        typer.echo(to_json(entries, indent=2))
    elif entries:
        output_console().print(table(entries))
    else:
        typer.echo(empty)


def print_one(found: BaseModel, *, json: bool, table: RenderableType) -> None:
    """Print one thing."""
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        output_console().print(table)


def tell(found: BaseModel, text: str, *, json: bool) -> None:
    """Print what a script wants: the document, or one word such as an id."""
    typer.echo(found.model_dump_json(indent=2) if json else text)


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table without lines; what is in it is text, never markup."""
    return styled_table(columns, ([escape(cell) for cell in row] for row in rows))


def styled_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table without lines whose cells are markup."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    table.columns[0].no_wrap = True
    return table


def size(size_bytes: int) -> str:
    """Return such as `12.3 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    amount, number = size_bytes / 1000, 0
    while amount >= 1000 and number < len(_UNITS) - 1:
        amount, number = amount / 1000, number + 1
    return f"{amount:.1f} {_UNITS[number]}"
