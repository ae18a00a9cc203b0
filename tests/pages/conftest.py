"""An installation that has something to show: jobs that went well and not, a campaign, a model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.scenes import generate_scene
from models.segmentation.loading import check_model
from tests.support import campaigns
from tests.support.api import get_items, post_images, start_job
from tests.support.campaigns import add_version_of
from tests.support.catalogs import new_sqlite_catalog
from tests.support.installation import Installation, installation
from tests.support.live_server import LiveServer, live_server
from workers.model_folder import store_folder

ROOT = Path(__file__).parents[2]
DEMO_MODEL = ROOT / "examples" / "demo_model"
SCENE_HW = (120, 160)
# What somebody writes into a name to see whether a page runs it.
EVIL = "<img src=x onerror=window.pwned=1>\"'&"
STAGES = {
    "rectify": {},
    "select": {"keep_fraction": 0.5},
    "aggregate": {"region_model": "graph"},
    "correct": {},
    "keep_stages": True,
}


@dataclass
class Shown:
    """An installation with something to look at."""

    site: Installation
    job: str
    label: str
    position: int
    evaluation: str
    campaign: str


def scene_png(folder: Path, seed: int) -> bytes:
    path = folder / f"scene{seed}.png"
    if not path.exists():
        Image.fromarray(generate_scene("night", seed, SCENE_HW).image).save(path)
    return path.read_bytes()


def add_demo_model(site: Installation) -> None:
    facts = check_model(DEMO_MODEL, "cpu")
    store_folder(
        site.catalog, site.objects, DEMO_MODEL, name="demo", ontology=facts.pop("ontology"),
        kind=facts.pop("kind"), facts=facts, provenance={"source": "models add"}, promote=True,
    )  # fmt: skip


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Iterator[Shown]:
    """Shared by all tests that only look."""
    folder = tmp_path_factory.mktemp("shown")
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    with installation(url, folder / "data") as site:
        add_demo_model(site)
        yield fill(site, scenes)


def fill(site: Installation, scenes: Path) -> Shown:
    files = {f"night/{i}.png": scene_png(scenes, i) for i in range(1, 4)}
    files[f"{EVIL}.png"] = scene_png(scenes, 4)
    files["broken.png"] = scene_png(scenes, 5)[:2000]
    job = post_images(site, files, model="demo", pipeline=STAGES)["job"]["id"]
    site.settle()
    items = get_items(site, job)
    first = items["night/1.png"]
    evaluation = measured(site, job, items)
    return Shown(site, job, first["label_id"], first["position"], evaluation, played(site))


def measured(site: Installation, job: str, items: dict[str, Any]) -> str:
    """An evaluation of the job's labels against themselves."""
    from tests.support.api import classes_json, post_annotations

    names = [n for n, item in items.items() if item["label_id"] and "night" in n]
    base = "/v1/labels/{}/artifacts/label.png"
    truths = {n: site.client.get(base.format(items[n]["label_id"])).content for n in names}
    classes = site.client.get(f"/v1/labels/{items[names[0]]['label_id']}").json()["ontology"]
    image_set = site.client.get(f"/v1/jobs/{job}").json()["image_set"]
    answer = post_annotations(
        site, image_set, truths,
        classes=classes_json(tuple(c["name"] for c in classes["classes"])),
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    started = start_job(
        site, type="evaluate", annotation_set=answer.json()["id"], labels_of_job=job
    )
    site.settle()
    return str(started["id"])


def played(site: Installation) -> str:
    """A campaign of two rounds, whose jobs were played."""
    from tests.support.rows import add_set, add_version

    add_version(site.catalog)
    add_version_of(site.catalog, "tiny", EVIL)
    target = add_set(site.catalog)
    truth = campaigns.annotated(site.catalog, target, "evaluation")
    campaign = campaigns.start(site.catalog, target, evaluation=truth, name=EVIL)
    campaigns.run(site.catalog, campaign, miou=0.42)
    return campaign


@pytest.fixture(scope="session")
def live(shown: Shown) -> Iterator[LiveServer]:
    with live_server(shown.site) as server:
        yield server
