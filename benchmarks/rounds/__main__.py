"""Self-training rounds against their baselines.

    python -m benchmarks.rounds --scenes night --budget ablation --rows source_bn,plain,oracle

All rows share source model, data, network and augmentation. A finished row is one JSON file in the
folder of results; what is there is not run again. The last iteration counts: nothing is chosen by
looking at target labels, which `oracle` alone learns from.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.machine import machine_facts
from benchmarks.quality.command_line import stage_names
from benchmarks.quality.scenes_data import SPLITS
from benchmarks.rounds.budgets import BUDGETS
from benchmarks.rounds.data import RoundsData, folder_data, scenes_data
from benchmarks.rounds.rows import BASELINES, ROWS, training_rows
from benchmarks.rounds.running import Bench, baseline_figures, row_figures
from benchmarks.rounds.source_model import source_model
from benchmarks.rounds.table import print_tables, read_results
from benchmarks.scenes import STYLES

RESULTS = Path("benchmarks/results/rounds")
CACHE = Path(".cache/rounds")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rows that are asked for and not there yet, and print the table."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console(width=110)
    missing = [row for row in options.rows if not _path(options, row).exists()]
    if missing:
        budget = BUDGETS[options.budget]
        data = _data(options)
        bench = Bench(data, budget, options.seed, options.rounds, budget.recipe)
        for row in missing:
            console.print(f"{data.name}, {options.budget}, seed {options.seed}: {row}")
            _write(_path(options, row), _result(row, bench, options))
    print_tables(read_results(options.json_dir), console)


def _result(row: str, bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    # Read anew for each row: training changes a model in place.
    device = torch.device(options.device)
    model = source_model(bench.data, bench.budget, bench.seed, options.cache / "models", device)
    if row in BASELINES:
        figures = baseline_figures(row, model, bench)
    else:
        figures = row_figures(training_rows()[row], model, bench)
    return {
        "row": row,
        "data": bench.data.name,
        "budget": options.budget,
        "seed": bench.seed,
        "rounds_asked": bench.rounds,
        "images": [len(bench.data.source), len(bench.data.unlabelled), len(bench.data.held_out)],
        **figures,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "machine": machine_facts(options.threads),
    }


def _data(options: argparse.Namespace) -> RoundsData:
    budget = BUDGETS[options.budget]
    if options.data is not None:
        return folder_data(options.data, budget.size_hw, budget.counts)
    return scenes_data(
        options.cache / "scenes", options.scenes, options.split, budget.counts, budget.size_hw
    )


def _path(options: argparse.Namespace, row: str) -> Path:
    what = (
        f"scenes-{options.scenes}-{options.split}"
        if options.data is None
        else options.data.resolve().name
    )
    # Baselines know no rounds, but stand beside those that do.
    name = f"{what}_{options.budget}_seed{options.seed}_rounds{options.rounds}_{row}.json"
    path: Path = options.json_dir / name
    return path


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    os.replace(unfinished, path)


def _rows(text: str) -> tuple[str, ...]:
    names = stage_names(text)
    unknown = sorted(set(names) - set(ROWS))
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is no row; there are {', '.join(ROWS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--scenes", choices=sorted(STYLES), help="style of the target")
    where.add_argument("--data", type=Path, help="folder laid out as benchmarks.quality.folders")
    parser.add_argument("--split", choices=SPLITS, default="choose")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", choices=BUDGETS, default="small")
    parser.add_argument("--rows", type=_rows, default=ROWS, metavar="A,B,…", help=", ".join(ROWS))
    parser.add_argument("--json-dir", type=Path, default=RESULTS)
    parser.add_argument("--cache", type=Path, default=CACHE, help="scenes and source models")
    parser.add_argument("--device", default="cpu", help='where to train, "cuda" for a GPU (cpu)')
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
