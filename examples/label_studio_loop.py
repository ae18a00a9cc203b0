"""Label images, let people correct them in Label Studio, and freeze what they made.

    python -m examples.label_studio_loop prepare DIR --model demo --out loop/
    (label in Label Studio; export the project as JSON)
    python -m examples.label_studio_loop finish loop/ export.json

`prepare` writes `config.xml`, the labelling configuration of the project, and `loop.json`. Its last
line is the path for Label Studio's *Model* settings. `finish` prints the id of a label set of the
corrected and accepted labels, for `selvage train` or the next round.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from selvage_client import Selvage

LOOP_FILE = "loop.json"
CONFIG_FILE = "config.xml"
app = typer.Typer(add_completion=False)


def prepare_loop(
    client: Selvage, images: Path, model: str, out: Path, connection: str | None = None
) -> str:
    """Label a folder and make a profile of its labels; returns the path for Label Studio.

    Args:
        connection: of kind `label_studio`; needed where tasks bring images of their own.
    """
    image_set = client.create_image_set(images)
    job = client.wait(client.generate(image_set.id, model).id)
    profile = client.integrations.create(
        f"loop-{job.id[-8:].lower()}", image_set.id, job.model or model, connection=connection
    )
    name, _, version = (job.model or model).partition(":")
    config = client.ontologies.label_studio_config_of_model(name, int(version))
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIG_FILE).write_text(config, encoding="utf-8")
    facts = {"image_set": image_set.id, "job": job.id, "integration": profile.name}
    (out / LOOP_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return profile.links["label_studio"]


def finish_loop(client: Selvage, out: Path, export: Path) -> str:
    """Import an export of the project and freeze its labels; returns the id of the label set."""
    facts = json.loads((out / LOOP_FILE).read_text(encoding="utf-8"))
    started = client.reviews.import_file(
        export, "label_studio", facts["image_set"], job=facts["job"]
    )
    client.wait(started.id)
    chosen = client.label_sets.create([facts["job"]], selection={"reviewed_only": True})
    return chosen.id


@app.command()
def prepare(
    images: Annotated[Path, typer.Argument(metavar="DIR")],
    model: str = "demo",
    out: Path = Path("loop"),
    connection: str | None = None,
) -> None:
    """Label a folder, and say what Label Studio needs."""
    with Selvage() as client:
        typer.echo(prepare_loop(client, images, model, out, connection))


@app.command()
def finish(loop: Path, export: Path) -> None:
    """Take corrected labels back."""
    with Selvage() as client:
        typer.echo(finish_loop(client, loop, export))


if __name__ == "__main__":
    app()
