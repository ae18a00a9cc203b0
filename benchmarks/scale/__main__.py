"""Whether it holds at size: `python -m benchmarks.scale`.

A million items in the catalog, an urgent image beside a hundred thousand others, a job of ten
thousand images with broken ones among them, the fit on the regions of a hundred thousand images.
Takes about half an hour for all.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.machine import machine_facts

CACHE: Final = Path(".cache/scale")
PARTS: Final = ("catalog", "priority", "corrupt", "fit")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    progress = Console(stderr=True)
    result: dict[str, Any] = {"benchmark": "scale", "machine": machine_facts(options.threads)}
    for part in PARTS:
        if options.only in (None, part):
            progress.print(part, style="bold")
            result[part] = _measures(options, progress)[part]()
    text = json.dumps(result, indent=1, allow_nan=False)
    Console().print_json(text)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")


def _measures(
    options: argparse.Namespace, progress: Console
) -> dict[str, Callable[[], dict[str, Any]]]:
    from benchmarks.scale import catalog, corrupt, fit, priority

    return {
        "catalog": lambda: catalog.measure(options.items, options.requests, progress),
        "priority": lambda: priority.measure(options.workers, options.repeats, progress),
        "corrupt": lambda: corrupt.measure(
            options.cache / "corrupt", options.images, options.threads, progress
        ),
        "fit": lambda: fit.measure(options.fit_images, options.regions, options.threads, progress),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure one thing instead of all")
    parser.add_argument("--items", type=int, default=1_000_000, help="catalog: items (1000000)")
    parser.add_argument(
        "--requests", type=int, default=1000, help="catalog: requests a kind (1000)"
    )
    parser.add_argument("--workers", type=int, default=1, help="priority: label workers (1)")
    parser.add_argument("--repeats", type=int, default=10, help="priority: urgent images (10)")
    parser.add_argument("--images", type=int, default=10_000, help="corrupt: images (10000)")
    parser.add_argument("--fit-images", type=int, default=100_000, help="fit: images (100000)")
    parser.add_argument("--regions", type=int, default=100, help="fit: regions an image (100)")
    parser.add_argument("--threads", type=int, default=2, help="corrupt, fit: torch threads (2)")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--cache", type=Path, default=CACHE, help="generated images")
    return parser


if __name__ == "__main__":
    main()
