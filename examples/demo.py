"""`make demo`: the main job on real code, with pictures left to look at.

Starts the service, registers the demo model, sends images of a domain on which it is weak, lets
the service re-estimate the model's normalisation on them (no labels needed), labels them in the
stages predict, rectify, select, aggregate and correct, and writes `report.html`, `report.json` and
the labels.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from selvage_client import Selvage, SelvageError

from api_schemas.jobs import Job
from examples.demo_page import TITLES, decision, percent, stage_cells
from examples.demo_report import write_report
from ops.embedded import embedded_service

ROOT: Final = Path(__file__).parents[1]
MODEL_FOLDER: Final = ROOT / "examples" / "demo_model"
IMAGE_SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
SIZE_HW: Final = (240, 320)
SEED_FRACTION: Final = 0.5  # of the pixels that regions grow from, as in the paper

console = Console()


def pipeline(region_model: str) -> dict[str, Any]:
    """All stages with their defaults, and the map after each."""
    return {
        "rectify": {},
        "select": {"keep_fraction": SEED_FRACTION},
        "aggregate": {"region_model": region_model},
        "correct": {},
        "keep_stages": True,
    }


def make_scenes(style: str, count: int, out: Path) -> tuple[Path, Path]:
    """Write generated scenes and their exact labels; returns both folders."""
    from benchmarks.scenes import SEED_RANGES
    from benchmarks.scenes.__main__ import write_scenes

    first = SEED_RANGES["test"].start
    images, truth = out / "images", out / "truth"
    write_scenes(style, range(first, first + count), images, truth, size_hw=SIZE_HW)
    return images, truth


def register_model(data_dir: Path) -> None:
    """Register the demo model, as `selvage models add` does."""
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", str(MODEL_FOLDER), "--name", "demo"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
    )


def watch(client: Selvage, job: Job, title: str) -> Job:
    """Show a job's progress with its rate until it is done."""
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=job.counts.total, rate="")
        for state in client.progress(job.id):
            counts = state.counts
            speed = state.progress.images_per_second
            progress.update(
                task,
                description=f"{title} (pilot)" if state.progress.step == "pilot" else title,
                completed=counts.total - counts.queued - counts.running,
                rate=f"{speed:.1f} images/s" if speed else "",
            )
            job = state
    if job.status not in ("succeeded", "partial"):
        reason = job.error.detail if job.error else job.status
        raise SystemExit(f"The job ended as {job.status}: {reason}")
    return job


def run(images: Path, truth: Path | None, out: Path, region_model: str) -> None:
    """Label a folder through the running service and write the report."""
    data_dir = out / "service"
    register_model(data_dir)
    with embedded_service(data_dir) as url, Selvage(url) as client:
        console.print(f"The service answers at {url} (API reference: {url}/docs)")
        image_set = client.create_image_set(images, name="demo")
        counts = image_set.counts
        console.print(
            f"Sent {counts.total} files: {counts.accepted} accepted, "
            f"{counts.duplicate} duplicates, {counts.rejected} rejected"
        )
        model, plain = "demo", None
        if counts.accepted >= 2:
            adapted = watch(client, client.adapt(image_set.id, model), "adapt normalisation")
            model = str((adapted.result or {})["model"])
        job = client.generate(image_set.id, model, pipeline=pipeline(region_model))
        job = watch(client, job, "label")
        if truth is not None:
            job_of_rival = client.generate(image_set.id, model, pipeline={"select": None})
            plain = watch(client, job_of_rival, "predict, to compare")
        shutil.rmtree(out / "labels", ignore_errors=True)
        shutil.rmtree(out / "confidence", ignore_errors=True)
        shutil.rmtree(out / "report", ignore_errors=True)
        (out / "results.jsonl").unlink(missing_ok=True)
        client.download(job.id, out)
        summary = write_report(
            client, job, region_model=region_model, out=out, truth=truth, plain=plain
        )
    tell(summary)
    console.print(f"Look at [bold]{out / 'report.html'}[/bold]")


def tell(summary: dict[str, Any]) -> None:
    """Print what came out."""
    console.print(
        f"{summary['labelled']} of {summary['files']} images labelled; the labels cover "
        f"{percent(summary['coverage'])} %, with a mean confidence of "
        f"{percent(summary['quality'])} %"
    )
    if summary["regions"]:
        console.print(f"Regions: {decision(summary['regions'])}")
    if not summary["stages"]:
        return
    table = Table(
        title="Against the exact labels, in percent; in brackets as many pixels by max-softmax"
    )
    table.add_column("stage")
    for title in TITLES.values():
        table.add_column(title, justify="right")
    for row in summary["stages"]:
        table.add_row(row["stage"], *stage_cells(row, TITLES))
    console.print(table)


def main() -> None:
    """Parse the command line and run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder of your own pictures")
    parser.add_argument("--style", default="night", choices=("night", "fog", "sensor"))
    parser.add_argument("--count", type=int, default=24, help="generated scenes (24)")
    parser.add_argument("--region-model", default="graph", help="graph (default) or nano")
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    arguments = parser.parse_args()
    started = time.monotonic()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    truth = None
    images = arguments.images
    if images is None:
        images, truth = make_scenes(arguments.style, arguments.count, out)
    elif not any(p.suffix.lower() in IMAGE_SUFFIXES for p in images.rglob("*")):
        sys.exit(f"No image was found in '{images}'. Give a folder with JPEG or PNG files.")
    try:
        run(images, truth, out, arguments.region_model)
    except SelvageError as error:
        sys.exit(str(error))
    console.print(f"Done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
