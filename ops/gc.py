"""`selvage gc`: retention and the collector, to the end and at once; `--dry-run` only looks."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from api_schemas.problems import ProblemError
from ops.rim import failure, load_settings, open_catalog

if TYPE_CHECKING:
    from domain.collector import Collector, Tally

_RETENTION_SECONDS = 60.0


def collect(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is unreachable; change nothing.")
    ] = False,
) -> None:
    """Remove rows that are over, mark objects that nothing refers to, delete those marked long ago.

    The scheduler does the same in the background. Safe while the service runs.
    """
    # Imported here: the object store's library takes a while, and `selvage --help` should not.
    from domain.collector import Collector
    from domain.retention import Retention
    from storage.kept_objects import KeptObjects

    settings = load_settings()
    with open_catalog(settings) as catalog:
        try:
            objects = KeptObjects.open_kept(settings.store_address, catalog)
            collector = Collector.of(settings, catalog, objects)
            if dry_run:
                _show("unreachable", _unreachable(collector))
                return
            rows: Counter[str] = Counter()
            while turn := Retention(catalog, settings).slice(_RETENTION_SECONDS):
                rows += turn
            marked, deleted = _collect(collector)
        except ProblemError as problem:
            raise failure(problem.detail) from None
    _show_rows(rows)
    _show("deleted", deleted)
    _show("marked, to be deleted later", marked)


def _unreachable(collector: "Collector") -> "Tally":
    from domain.collector import Tally
    from storage.units import shards

    found = Tally()
    for shard in shards():
        for units in collector.unreachable_units(shard):
            for unit, size_bytes in units.items():
                found.add(unit, size_bytes)
    return found


def _collect(collector: "Collector") -> "tuple[Tally, Tally]":
    from domain.collector import Tally
    from storage.units import shards

    deleted, marked = Tally(), Tally()
    while True:
        tally, looked_at = collector.delete_due()
        deleted.include(tally)
        if not looked_at:
            break
    for shard in shards():
        marked.include(collector.mark(shard))
    return marked, deleted


def _show_rows(rows: Counter[str]) -> None:
    table = Table("rows that are over", "removed")
    for name, count in sorted(rows.items()):
        table.add_row(name, str(count))
    table.add_row("all", str(rows.total()), style="bold")
    Console().print(table)


def _show(what: str, tally: "Tally") -> None:
    table = Table(f"objects {what}", "count", "bytes")
    for kind in sorted(tally.units):
        table.add_row(kind, str(tally.units[kind]), str(tally.size_bytes[kind]))
    total = (str(tally.units.total()), str(tally.size_bytes.total()))
    table.add_row("all", *total, style="bold")
    Console().print(table)
