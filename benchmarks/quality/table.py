"""The tables of docs/benchmarks.md from results that are there.

    python -m benchmarks.quality.table benchmarks/results/camvid_medium_seed*.json

Markdown. Results of one data set and one kind of source model make one table; a cell has the mean
over seeds, the range where there are several, and their number.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.report import REGION_FIGURES, figure_at
from benchmarks.quality.scoring import GAIN_FIGURES
from models.metrics.quality import FIGURES

Result = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of the results that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.table", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    options = parser.parse_args(arguments)
    print(tables([json.loads(path.read_text()) for path in options.results]))


def tables(results: Sequence[Result]) -> str:
    """The tables of all results, in Markdown.

    Raises:
        ValueError: a seed is there twice for the same data and source model.
    """
    groups: dict[tuple[str, str], dict[int, Result]] = defaultdict(dict)
    for result in results:
        key = result["data"], _source(result)
        if result["seed"] in groups[key]:
            raise ValueError(f"seed {result['seed']} of {' with '.join(key)} is there twice")
        groups[key][result["seed"]] = result
    parts = [
        part
        for (data, source), by_seed in groups.items()
        for part in _tables_of(data, source, list(by_seed.values()))
    ]
    return "\n\n".join(parts) + "\n"


def cell(values: Sequence[float | None]) -> str:
    """Mean in percent, range and number of the values that there are."""
    found = [100 * value for value in values if value is not None]
    if not found:
        return "–"
    mean = sum(found) / len(found)
    if len(found) == 1:
        return f"{mean:.1f} (n 1)"
    return f"{mean:.1f} ({min(found):.1f}–{max(found):.1f}, n {len(found)})"


def _source(result: Result) -> str:
    bundle = result.get("bundle")
    return f"bundle {bundle[:12]}" if bundle else f"budget {result['budget']}"


def _tables_of(data: str, source: str, results: list[Result]) -> Iterator[str]:
    stages = _in_order([result["labels"] for result in results])
    yield f"**{data}, {source}**, labels in percent: mean (range over seeds, number of seeds)"
    yield _markdown(["stage", *FIGURES], list(_label_rows(stages, results)))
    with_regions = [s for s in stages if any(_regions(r, s) for r in results)]
    if with_regions:
        yield f"**{data}, {source}**, regions in percent"
        rows = [
            [
                name,
                *(cell([figure_at(_regions(r, s), path) for r in results]) for s in with_regions),
            ]
            for name, path in REGION_FIGURES.items()
        ]
        yield _markdown(["figure", *with_regions], rows)
    models = _in_order([result["models"] for result in results])
    folders = _in_order([result["models"][m] for result in results for m in models])
    rows = [
        [m, *(cell([figure_at(r["models"], (m, f, "miou")) for r in results]) for f in folders)]
        for m in models
    ]
    yield f"**{data}, {source}**, mIoU in percent"
    yield _markdown(["model", *folders], rows)


def _label_rows(stages: Sequence[str], results: Sequence[Result]) -> Iterator[list[str]]:
    for stage in stages:
        rows = [result["labels"].get(stage, {}) for result in results]
        yield [stage, *(cell([figure_at(row, (name,)) for row in rows]) for name in FIGURES)]
        if any("rival" in row for row in rows):
            rivals = (cell([figure_at(row, ("rival", name)) for row in rows]) for name in FIGURES)
            yield ["– rival", *rivals]
        if any("gain" in row for row in rows):
            against = "rival" if any("rival" in row for row in rows) else "predict"
            yield [f"– gain over {against}", *(_gain(rows, name) for name in FIGURES)]


def _gain(rows: Sequence[Result], name: str) -> str:
    if name not in GAIN_FIGURES:
        return ""
    return cell([figure_at(row, ("gain", name, "value")) for row in rows])


def _regions(result: Result, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = result["labels"].get(stage, {}).get("regions", {})
    return found


def _in_order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of all, in the order in which they come first."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
