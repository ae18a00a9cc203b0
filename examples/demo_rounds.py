"""`make demo-rounds`: two rounds of self-training on generated scenes, through the API.

Starts the service, sends labelled scenes by day (source) and unlabelled ones by night (target),
starts a campaign, shows how it goes, and writes `rounds.html`, `rounds.svg` and `rounds.json`.
Other scenes by night, with exact labels of purpose `evaluation`, measure each model; nothing
depends on them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from selvage_client import Selvage, SelvageError

from api_schemas.campaigns import Campaign, Round
from examples.demo import MODEL_FOLDER, ROOT
from examples.demo_rounds_page import curve, page
from ops.embedded import embedded_service

SIZE_HW: Final = (120, 160)
RECIPE: Final = {"crop_hw": [96, 128], "batch_size": 4, "statistics_images": 16}
PIPELINE: Final = {"select": {"mode": "class_balanced", "keep_fraction": 0.6}}

console = Console()


def make_scenes(style: str, counts: dict[str, int], out: Path) -> dict[str, Path]:
    """Write source, target and measuring scenes with their labels; returns their folders."""
    from benchmarks.scenes import SOURCE_STYLE, split_seeds
    from benchmarks.scenes.__main__ import write_scenes

    seeds = {
        "source": split_seeds("fit", counts["source"]),
        "target": split_seeds("test", counts["target"]),
        "measure": split_seeds("test", counts["measure"], offset=counts["target"]),
    }
    folders = {name: out / "scenes" / name for name in seeds}
    for name, chosen in seeds.items():
        kind = SOURCE_STYLE if name == "source" else style
        write_scenes(
            kind, chosen, folders[name] / "images", folders[name] / "labels", size_hw=SIZE_HW
        )
    return folders


def register_model(data_dir: Path) -> None:
    """Register the demo model, as `selvage models add` does."""
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", str(MODEL_FOLDER), "--name", "demo"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
    )


def send_labelled(client: Selvage, folder: Path, purpose: Any) -> str:
    """Send images with their labels; returns the annotation set."""
    bundle = json.loads((MODEL_FOLDER / "bundle.json").read_text())
    (folder / "labels" / "classes.json").write_text(json.dumps(bundle["ontology"]))
    images = client.create_image_set(folder / "images")
    return client.upload_annotations(images.id, folder / "labels", purpose=purpose).id


def watch(client: Selvage, campaign: Campaign) -> Campaign:
    """Print each step as it begins until the campaign is over."""
    started = time.monotonic()
    told = ""
    for found in client.campaigns.progress(campaign.id):
        progress = found.progress
        now = f"round {progress.round} of {progress.rounds}: {progress.step or found.status}"
        if now != told:
            told = now
            console.print(f"{time.monotonic() - started:5.0f} s  {now}")
        campaign = found
    return campaign


def points_of(rounds: Sequence[Round]) -> list[tuple[str, float]]:
    """Return (label, mIoU) of the first teacher and of each model that was measured."""
    found = []
    if rounds and rounds[0].teacher_scores and rounds[0].teacher_scores.miou is not None:
        found.append(("adapted", rounds[0].teacher_scores.miou))
    found += [
        (f"round {one.number}", one.scores.miou)
        for one in rounds
        if one.scores is not None and one.scores.miou is not None
    ]
    return found


def run(style: str, counts: dict[str, int], rounds: int, steps: int, out: Path) -> None:
    """Run the campaign through the service and write the report."""
    folders = make_scenes(style, counts, out)
    data_dir = out / "service"
    register_model(data_dir)
    with embedded_service(data_dir) as url, Selvage(url) as client:
        console.print(f"The service answers at {url} (API reference: {url}/docs)")
        source = send_labelled(client, folders["source"], "source")
        truth = send_labelled(client, folders["measure"], "evaluation")
        target = client.create_image_set(folders["target"] / "images")
        campaign = client.campaigns.start(
            "demo",
            target.id,
            setting="uda",
            source=source,
            pipeline=PIPELINE,
            recipe=RECIPE,
            rounds=rounds,
            steps=steps,
            evaluation=truth,
            name=f"demo, {style}",
        )
        ended = watch(client, campaign)
        found = client.campaigns.rounds(ended.id)
    points = points_of(found)
    (out / "rounds.svg").write_text(curve(points))
    (out / "rounds.html").write_text(page(ended, found, points))
    document = [one.model_dump(mode="json") for one in found]
    (out / "rounds.json").write_text(json.dumps(document, indent=2))
    tell(found)
    if ended.status != "succeeded":
        reason = ended.reason.detail if ended.reason else ""
        raise SystemExit(f"The campaign ended as {ended.status}. {reason}")
    console.print(f"Look at [bold]{out / 'rounds.html'}[/bold]")


def tell(rounds: Sequence[Round]) -> None:
    """Print what came out."""
    table = Table(title="mIoU on other scenes of the target, in percent; reported, never used")
    for name in ("round", "outcome", "teacher", "mIoU", "model", "mIoU"):
        table.add_column(name)
    for one in rounds:
        scores = [
            "-" if s is None or s.miou is None else f"{100 * s.miou:.1f}"
            for s in (one.teacher_scores, one.scores)
        ]
        table.add_row(
            str(one.number), one.status, one.teacher, scores[0], one.model or "-", scores[1]
        )
    console.print(table)


def main() -> None:
    """Parse the command line and run the demo."""
    parser = argparse.ArgumentParser(prog="make demo-rounds", description=__doc__)
    parser.add_argument("--style", default="night", choices=("night", "fog", "sensor"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150, help="of each training (150)")
    parser.add_argument("--source", type=int, default=48, help="labelled scenes by day (48)")
    parser.add_argument("--target", type=int, default=48, help="scenes of the target (48)")
    parser.add_argument("--measure", type=int, default=24, help="scenes that measure (24)")
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    given = parser.parse_args()
    started = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    counts = {name: getattr(given, name) for name in ("source", "target", "measure")}
    try:
        run(given.style, counts, given.rounds, given.steps, given.out)
    except SelvageError as error:
        sys.exit(str(error))
    console.print(f"Done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
