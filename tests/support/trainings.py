"""A model, labels of the target and of the source, and trainings on them, over HTTP."""

from typing import Any

from tests.support.api import get_job, post_images, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.source_labels import post_source

TARGET = {f"{i}.png": png_bytes(i, 48, 64) for i in range(4)}
SOURCE = {f"s{i}.png": png_bytes(100 + i, 48, 64) for i in range(3)}


def freeze(site: Installation, **body: Any) -> str:
    """Label the target with the model `tiny` and freeze the labels; returns the label set."""
    posted = post_images(site, TARGET)
    site.settle()
    answer = site.client.post("/v1/label-sets", json={"jobs": [posted["job"]["id"]], **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def start_training(
    site: Installation, *, label_set: str | None = None, orders: Any = None, **body: Any
) -> dict[str, Any]:
    """Start a source-free training of ten steps; `orders` are those of the stand-in."""
    recipe = {"checkpoint_every_steps": 4, "terms": {"stand_in": orders or {}}}
    request = {
        "model": "tiny",
        "label_set": label_set or freeze(site),
        "setting": "source_free",
        "recipe": recipe,
        "steps": 10,
        **body,
    }
    return start_job(site, type="train", **request)


def train(site: Installation, **more: Any) -> dict[str, Any]:
    """Run a training to its end."""
    job = start_training(site, **more)
    site.settle()
    return get_job(site, job["id"])


def trained_on_source(site: Installation, **more: Any) -> dict[str, Any]:
    source = {"annotations": post_source(site, SOURCE)}
    return train(site, setting="uda", source=source, **more)
