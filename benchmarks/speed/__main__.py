"""Speed and size of the running service: `python -m benchmarks.speed`.

Measures on this machine, in one run: images per second against a bare loop, the latency of one
image, the memory of a label worker, the import of the API, uploads to it, streams from it, how
long a region model takes over an image, the correction over the regions of a job, the stage
`rectify`, exports, and what Label Studio asks for.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.machine import machine_facts
from benchmarks.speed.report import print_result

CACHE: Final = Path(".cache/speed")
PARTS: Final = (
    "imports",
    "latency",
    "throughput",
    "memory",
    "uploads",
    "streams",
    "aggregation",
    "correction",
    "rectification",
    "exports",
    "label_studio",
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    progress = Console(stderr=True)
    # The load of the machine is noted before the benchmark adds its own.
    result: dict[str, Any] = {"benchmark": "speed", "machine": machine_facts(options.threads)}
    for part in PARTS:
        if options.only in (None, part):
            progress.print(part, style="bold")
            result[part] = _measures(options, progress)[part]()
    print_result(result, Console())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def _measures(
    options: argparse.Namespace, progress: Console
) -> dict[str, Callable[[], dict[str, Any]]]:
    from benchmarks.speed import (
        aggregation,
        correction,
        exports,
        imports,
        label_studio,
        latency,
        memory,
        rectification,
        streams,
        throughput,
        uploads,
    )

    return {
        "imports": imports.measure,
        "latency": lambda: latency.measure(options.cache, options.threads, progress),
        "throughput": lambda: throughput.measure(
            options.cache, options.images, options.threads, options.repeats, progress
        ),
        "memory": lambda: memory.measure(
            options.cache,
            memory.MemoryPlan(
                options.memory_first,
                options.memory_images,
                options.memory_job_images,
                tuple(options.memory_size),
            ),
            options.threads,
            progress,
        ),
        "uploads": lambda: uploads.measure(
            options.upload_images, options.upload_bytes, options.repeats, progress
        ),
        "streams": lambda: streams.measure(
            options.cache, options.stream_clients, options.stream_images, options.threads, progress
        ),
        "aggregation": lambda: aggregation.measure(
            aggregation.AggregationPlan(
                tuple(options.aggregation_size), options.points_per_side, options.repeats
            ),
            options.threads,
            progress,
        ),
        "correction": lambda: correction.measure(options.regions, options.threads, progress),
        "rectification": lambda: rectification.measure(
            rectification.RectificationPlan(repeats=options.repeats), progress
        ),
        "exports": lambda: exports.measure(
            options.export_labels, tuple(options.export_formats), progress
        ),
        "label_studio": lambda: label_studio.measure(options.cache, options.threads, progress),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure one thing instead of all")
    parser.add_argument("--images", type=int, default=500, help="throughput: images (500)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="throughput, uploads and the stages: runs (3)"
    )
    parser.add_argument("--threads", type=int, default=2, help="torch threads of both (2)")
    parser.add_argument("--memory-first", type=int, default=200, help="memory: first look (200)")
    parser.add_argument("--memory-images", type=int, default=2000, help="memory: last look (2000)")
    parser.add_argument(
        "--memory-job-images", type=int, default=200, help="memory: images of each job (200)"
    )
    parser.add_argument(
        "--memory-size",
        type=int,
        nargs=2,
        default=(240, 320),
        metavar=("H", "W"),
        help="memory: size of the images (240 320)",
    )
    parser.add_argument("--upload-images", type=int, default=2000, help="uploads: images (2000)")
    parser.add_argument(
        "--upload-bytes", type=int, default=100_000, help="uploads: size of an image (100000)"
    )
    parser.add_argument("--stream-clients", type=int, default=200, help="streams: clients (200)")
    parser.add_argument("--stream-images", type=int, default=1000, help="streams: images (1000)")
    parser.add_argument(
        "--aggregation-size",
        type=int,
        nargs=2,
        default=(1024, 2048),
        metavar=("H", "W"),
        help="aggregation: size of the image (1024 2048)",
    )
    parser.add_argument(
        "--points-per-side", type=int, default=32, help="aggregation: grid of points (32)"
    )
    parser.add_argument("--export-labels", type=int, default=10_000, help="exports: labels (10000)")
    parser.add_argument(
        "--export-formats",
        nargs="+",
        default=("cityscapes", "coco"),
        help="exports: formats (cityscapes coco)",
    )
    parser.add_argument(
        "--regions", type=int, default=100_000, help="correction: regions of the job (100000)"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--cache", type=Path, default=CACHE, help="generated images")
    return parser


if __name__ == "__main__":
    main()
