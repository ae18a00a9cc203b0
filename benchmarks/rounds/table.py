"""The table of a benchmark of rounds, from the JSON files that are there."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rounds.rows import ROWS


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Every result of a folder."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def print_tables(results: Iterable[dict[str, Any]], console: Console) -> None:
    """One table for each data set, budget and number of rounds; means over seeds."""
    groups: dict[tuple[str, str, int], dict[str, list[dict[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for result in results:
        groups[result["data"], result["budget"], result["rounds_asked"]][result["row"]].append(
            result
        )
    for (data, budget, rounds), rows in sorted(groups.items()):
        console.print(_table(f"{data}, {budget}, {rounds} rounds, in per cent", rows))


def gap_closed(miou: float, source_bn: float, oracle: float) -> float | None:
    """Share of the way from source_bn to oracle; None where there is none to go."""
    return (miou - source_bn) / (oracle - source_bn) if oracle > source_bn else None


def _table(title: str, rows: dict[str, list[dict[str, Any]]]) -> Table:
    table = Table(title=title)
    for heading in ("row", "seeds", "mIoU", "95 %", "gap closed", "boundary IoU", "labels right"):
        table.add_column(heading, no_wrap=True)
    means = {name: _mean(found, "miou") for name, found in rows.items()}
    for name in sorted(rows, key=ROWS.index):
        last = [result["rounds"][-1] for result in rows[name]]
        low, high = (np.mean([r["held_out"]["miou_interval"][end] for r in last]) for end in (0, 1))
        closed = None
        if "source_bn" in means and "oracle" in means:
            closed = gap_closed(means[name], means["source_bn"], means["oracle"])
        right = [r["labels"]["accuracy_kept"] for r in last if "labels" in r]
        table.add_row(
            name,
            str(len(last)),
            f"{100 * means[name]:.1f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            "–" if closed is None else f"{100 * closed:.0f}",
            f"{100 * _mean(rows[name], 'boundary_iou'):.1f}",
            f"{100 * float(np.mean(right)):.1f}" if right else "–",
        )
    return table


def _mean(results: list[dict[str, Any]], figure: str) -> float:
    return float(np.mean([result["rounds"][-1]["held_out"][figure] for result in results]))
