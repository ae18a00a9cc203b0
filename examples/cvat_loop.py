"""Label images, let people correct them in CVAT, and freeze what they made.

    python -m examples.cvat_loop prepare DIR --model demo --out loop/
    (make a task with the labels of labels.json and the images of DIR)
    cvat-cli task auto-annotate TASK --function-module selvage_client.cvat -p profile=str:PROFILE
    (correct; export annotations as "Segmentation mask 1.1")
    python -m examples.cvat_loop finish loop/ export.zip

`prepare` prints the name of the profile. `finish` prints the id of a label set of the corrected and
accepted labels, for `selvage train` or the next round.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json
from selvage_client import Selvage

LOOP_FILE = "loop.json"
LABELS_FILE = "labels.json"
app = typer.Typer(add_completion=False)


def prepare_loop(client: Selvage, images: Path, model: str, out: Path) -> str:
    """Label a folder and make a profile of its labels; returns the name of the profile."""
    image_set = client.create_image_set(images)
    job = client.wait(client.generate(image_set.id, model).id)
    reference = job.model or model
    profile = client.integrations.create(f"loop-{job.id[-8:].lower()}", image_set.id, reference)
    name, _, version = reference.partition(":")
    labels = client.ontologies.cvat_labels_of_model(name, int(version))
    out.mkdir(parents=True, exist_ok=True)
    (out / LABELS_FILE).write_bytes(to_json(labels, indent=2) + b"\n")
    facts = {"image_set": image_set.id, "job": job.id, "integration": profile.name}
    (out / LOOP_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return profile.name


def finish_loop(client: Selvage, out: Path, export: Path) -> str:
    """Import an export of the task and freeze its labels; returns the id of the label set."""
    facts = json.loads((out / LOOP_FILE).read_text(encoding="utf-8"))
    started = client.reviews.import_file(export, "cvat", facts["image_set"], job=facts["job"])
    client.wait(started.id)
    chosen = client.label_sets.create([facts["job"]], selection={"reviewed_only": True})
    return chosen.id


@app.command()
def prepare(
    images: Annotated[Path, typer.Argument(metavar="DIR")],
    model: str = "demo",
    out: Path = Path("loop"),
) -> None:
    """Label a folder, and say what CVAT needs."""
    with Selvage() as client:
        typer.echo(prepare_loop(client, images, model, out))


@app.command()
def finish(loop: Path, export: Path) -> None:
    """Take corrected labels back."""
    with Selvage() as client:
        typer.echo(finish_loop(client, loop, export))


if __name__ == "__main__":
    app()
