"""CVAT's automatic annotation: masks of stored labels, by bytes and by name."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from formats.cvat_shapes import mask_shapes
from tests.support.api import get_items, get_png, post_images, post_set
from tests.support.images import jpeg_bytes
from tests.support.installation import Installation
from tests.support.interop import needs_peers, read_with
from tests.support.live_server import live_server

NAMES = ["road", "sky", "car"]
FILES = {f"night/{i}.jpg": jpeg_bytes(i, height_px=24, width_px=32) for i in range(2)}
BASE = "/integrations/nuclio/city"


def make(site: Installation, image_set: str) -> None:
    body = {"name": "city", "image_set": image_set, "model": "tiny", "pipeline": {"select": None}}
    answer = site.client.post("/v1/integrations", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def job(tiny_site: Installation) -> str:
    made = post_images(tiny_site, FILES)
    tiny_site.settle()
    make(tiny_site, made["image_set"]["id"])
    return str(made["job"]["id"])


def ask(site: Installation, **body: Any) -> Any:
    return site.client.post(BASE, json=body)


def painted(shapes: list[dict[str, Any]]) -> np.ndarray:
    label = np.full((24, 32), 255, np.uint8)
    for shape in shapes:
        *values, left, top, right, bottom = shape["mask"]
        crop = np.array(values, bool).reshape(bottom - top + 1, right - left + 1)
        label[top : bottom + 1, left : right + 1][crop] = NAMES.index(shape["label"])
    return label


def test_masks_by_bytes_and_by_name(tiny_site: Installation, job: str) -> None:
    expected = get_png(tiny_site, get_items(tiny_site, job)["night/0.jpg"]["label_id"])
    image = base64.b64encode(FILES["night/0.jpg"]).decode()
    for body in ({"image": image, "threshold": 0.5}, {"name": "night/0.jpg"}, {"name": "0.jpg"}):
        answer = ask(tiny_site, **body)
        if body == {"name": "0.jpg"}:
            assert answer.status_code == 404  # another folder may have one of this name
            continue
        assert answer.status_code == 200, answer.text
        shapes = answer.json()
        assert (painted(shapes) == expected).all()
        assert all(shape["type"] == "mask" and "points" not in shape for shape in shapes)


def test_the_labels_of_the_function(tiny_site: Installation, job: str) -> None:
    found = tiny_site.client.get(BASE).json()
    assert [entry["name"] for entry in found["spec"]] == NAMES
    assert found["version"].startswith("tiny:1@")


def test_a_label_that_is_missing_is_made(tiny_site: Installation) -> None:
    make(tiny_site, post_set(tiny_site, FILES)["id"])
    answer = ask(tiny_site, name="night/1.jpg")
    assert (answer.status_code, "no label yet" in answer.json()["detail"]) == (404, True)
    tiny_site.settle()
    assert ask(tiny_site, name="night/1.jpg").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"image": "%"}, 422), ({"image": 3}, 422), ({"name": "x" * 9000}, 404),
     ({"image": base64.b64encode(b"x").decode()}, 404), ({"name": None, "image": None}, 404)],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_refused(tiny_site: Installation, job: str, body: dict[str, Any], status: int) -> None:
    assert ask(tiny_site, **body).status_code == status


def test_a_box_is_tight_and_inclusive() -> None:
    label = np.full((4, 5), 255, np.uint8)
    label[1:3, 2:4] = 1
    label[1, 2] = 255
    (shape,) = mask_shapes(label, NAMES)
    assert (shape["label"], shape["mask"]) == ("sky", [0, 1, 1, 1, 2, 1, 3, 2])


@needs_peers
def test_the_function_with_the_sdk(tiny_site: Installation, job: str, tmp_path: Path) -> None:
    label = get_png(tiny_site, get_items(tiny_site, job)["night/0.jpg"]["label_id"])
    np.save(tmp_path / "label.npy", label)
    with live_server(tiny_site) as server:
        names, found = read_with(
            "cvat_function", server.url, "city", "night/0.jpg", tmp_path / "label.npy"
        )
    assert names == NAMES
    assert found == {NAMES[i]: True for i in range(3) if (label == i).any()}
