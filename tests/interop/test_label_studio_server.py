"""The whole loop with a real Label Studio: predictions there, corrections back.

What Label Studio does with what it gets is seen through its own API.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats.label_studio_brush import encode_brush
from tests.service.test_label_studio import BASE, CONFIG, FILES, connect, label_of, make
from tests.service.test_label_studio import task as task_of
from tests.support.api import get_items, get_job, get_png, post_images, post_set
from tests.support.ingest import open_tiny_site
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.label_studio import LabelStudio, needs_label_studio, start_label_studio
from tests.support.live_server import LiveServer, live_server

pytestmark = [pytest.mark.slow, needs_label_studio]
WIDE_PX, HIGH_PX = 32, 24


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with start_label_studio(tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    with open_tiny_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def ours(site: Installation) -> Iterator[LiveServer]:
    with live_server(site) as server:
        yield server


def project_of(peer: LabelStudio, ours: LiveServer, **more: str) -> int:
    """A project that asks our service for predictions."""
    project = peer.call("POST", "/api/projects", json={"title": "city", "label_config": CONFIG})
    backend = {"project": project["id"], "title": "Selvage", "url": ours.url + BASE, **more}
    made = peer.call("POST", "/api/ml", json=backend)
    assert made["state"] == "CO", made  # connected: it has asked /health and /setup
    return int(project["id"])


def hooks_of(peer: LabelStudio, project: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.call("GET", f"/api/webhooks?project={project}")
    return found


def import_tasks(peer: LabelStudio, project: int) -> dict[str, int]:
    """Make a task of each image; returns external id → task."""
    tasks = [{"data": {"image": f"https://images.example.org/{name}"}} for name in FILES]
    peer.call("POST", f"/api/projects/{project}/import", json=tasks)
    found = peer.call("GET", f"/api/tasks?project={project}&page_size=100")["tasks"]
    return {t["data"]["image"].removeprefix("https://images.example.org/"): t["id"] for t in found}


def ask_for_predictions(peer: LabelStudio, project: int) -> None:
    peer.call(
        "POST",
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}",
        json={"selectedItems": {"all": True, "excluded": []}},
    )


def predictions_of(peer: LabelStudio, task: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = peer.call("GET", f"/api/predictions?task={task}")
    return found


def stripes(widths_px: int) -> np.ndarray:
    columns = np.arange(WIDE_PX) // widths_px % 2
    return np.broadcast_to(columns, (HIGH_PX, WIDE_PX)).astype(np.uint8)


def drawn(label: np.ndarray) -> list[dict[str, Any]]:
    """Brush regions as its editor saves them."""
    return [
        {"id": f"r{index}", "from_name": "seg", "to_name": "image", "type": "brushlabels",
         "origin": "manual", "image_rotation": 0,
         "original_width": WIDE_PX, "original_height": HIGH_PX,
         "value": {"format": "rle", "rle": encode_brush(label == index), "brushlabels": [name]}}
        for index, name in enumerate(["road", "sky"])
    ]  # fmt: skip


def shown(site: Installation, name: str, headers: dict[str, str] | None = None) -> np.ndarray:
    """What the backend answers for an image: what people corrected goes first."""
    body = {"tasks": [task_of(1, name)], "label_config": CONFIG}
    answer = site.client.post(f"{BASE}/predict", json=body, headers=headers)
    return label_of(answer.json()["results"][0])


def test_stored_labels_arrive_pixel_for_pixel(
    site: Installation, ours: LiveServer, peer: LabelStudio
) -> None:
    made = post_images(site, FILES)
    site.settle()
    make(site, made["image_set"]["id"])
    items = get_items(site, made["job"]["id"])
    project = project_of(peer, ours)
    tasks = import_tasks(peer, project)
    ask_for_predictions(peer, project)
    for name, task in tasks.items():
        (prediction,) = predictions_of(peer, task)
        assert (label_of(prediction) == get_png(site, items[name]["label_id"])).all()
        assert prediction["score"] == pytest.approx(items[name]["quality"], abs=1e-4)
        assert prediction["model_version"].startswith("tiny:1@")


def test_missing_labels_are_pushed(site: Installation, ours: LiveServer, peer: LabelStudio) -> None:
    connect(site, peer.url, peer.token)
    make(site, post_set(site, FILES)["id"], connection="ls")
    project = project_of(peer, ours)
    tasks = import_tasks(peer, project)
    ask_for_predictions(peer, project)
    before = [len(predictions_of(peer, task)[0]["result"]) for task in tasks.values()]
    assert before == [0, 0, 0]
    site.settle()
    counted = site.client.get("/v1/integrations/city").json()["tasks"]
    assert counted == {"waiting": 0, "pushed": 3, "failed": 0}
    for task in tasks.values():
        assert len([p for p in predictions_of(peer, task) if p["result"]]) == 1


def test_corrections_come_back_by_webhook_and_by_export(
    site: Installation, ours: LiveServer, peer: LabelStudio
) -> None:
    made = post_images(site, FILES)
    site.settle()
    job, image_set = made["job"]["id"], made["image_set"]["id"]
    make(site, image_set)
    project = project_of(peer, ours)
    tasks = import_tasks(peer, project)
    (hook,) = hooks_of(peer, project)  # made with the connection of the model
    assert (hook["url"], hook["send_payload"]) == (f"{ours.url}{BASE}/webhook", True)
    by_hook, by_export = list(tasks)[:2]
    body = {"result": drawn(stripes(4)), "lead_time": 2.0}
    peer.call("POST", f"/api/tasks/{tasks[by_hook]}/annotations", json=body)
    assert (shown(site, by_hook) == stripes(4)).all()

    peer.call("DELETE", f"/api/webhooks/{hook['id']}")
    body = {"result": drawn(stripes(8)), "lead_time": 2.0}
    peer.call("POST", f"/api/tasks/{tasks[by_export]}/annotations", json=body)
    assert not (shown(site, by_export) == stripes(8)).all()
    export = peer.call("GET", f"/api/projects/{project}/export?exportType=JSON")
    answer = site.client.post(
        "/v1/imports",
        files={"file": ("export.json", json.dumps(export).encode())},
        data={"image_set": image_set, "format": "label_studio", "job": job},
    )
    assert answer.status_code == 202, answer.text
    site.settle()
    imported = get_job(site, answer.json()["id"])
    assert (imported["status"], imported["counts"]["succeeded"]) == ("succeeded", 2)
    assert (shown(site, by_export) == stripes(8)).all()


def test_where_keys_are_asked_for(site: Installation, peer: LabelStudio) -> None:
    """Its questions bring the key as a password; its webhook brings it once somebody adds it."""
    made = post_images(site, FILES)
    site.settle()
    make(site, made["image_set"]["id"])
    _, headers = make_key(site.catalog, "write")
    key = headers["Authorization"].removeprefix("Bearer ")
    with live_server(site, require_keys="always") as ours:
        password = {"auth_method": "BASIC_AUTH", "basic_auth_user": "x", "basic_auth_pass": key}
        project = project_of(peer, ours, **password)
        tasks = import_tasks(peer, project)
        ask_for_predictions(peer, project)
        name, task = next(iter(tasks.items()))
        assert predictions_of(peer, task)[0]["result"]
        body = {"result": drawn(stripes(4)), "lead_time": 2.0}
        peer.call("POST", f"/api/tasks/{task}/annotations", json=body)
        assert not (shown(site, name, headers) == stripes(4)).all()
        (hook,) = hooks_of(peer, project)
        peer.call("PATCH", f"/api/webhooks/{hook['id']}", json={"headers": headers})
        peer.call("POST", f"/api/tasks/{task}/annotations", json=body)
        assert (shown(site, name, headers) == stripes(4)).all()


def test_an_export_is_imported_with_its_predictions(site: Installation, peer: LabelStudio) -> None:
    made = post_images(site, FILES)
    site.settle()
    job = made["job"]["id"]
    asked = site.client.post("/v1/exports", json={"format": "label-studio", "source": {"job": job}})
    assert asked.status_code == 202, asked.text
    site.settle()
    content = site.client.get(f"/v1/exports/{asked.json()['id']}/file").content
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        tasks, config = json.loads(file.read("tasks.json")), file.read("config.xml").decode()
    project = peer.call(
        "POST", "/api/projects", json={"title": "from an export", "label_config": config}
    )["id"]
    peer.call("POST", f"/api/projects/{project}/import", json=tasks)
    found = peer.call("GET", f"/api/tasks?project={project}&page_size=100")["tasks"]
    assert len(found) == len(FILES)
    items = get_items(site, job)
    for task in found:
        (prediction,) = predictions_of(peer, task["id"])
        stored = get_png(site, items[task["meta"]["external_id"]]["label_id"])
        assert (label_of(prediction) == stored).all()
