"""Jobs that fit a model's classifier of regions on labelled source images."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from models.connectivity import source_fit
from models.connectivity.classifier import fit_prior
from models.connectivity.training import TrainingSettings
from storage.objects import model_key
from tests.support.api import (
    get_items,
    get_job,
    index_png,
    nonzero,
    post_annotations,
    post_images,
    post_set,
    start_job,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.source_labels import post_source

IMAGES = {f"{i}.png": png_bytes(i, 48, 64) for i in range(6)}
QUICK = TrainingSettings(most_rounds=2, round_steps=2, hidden=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_fit, "fit_prior", partial(fit_prior, settings=QUICK))


@pytest.fixture
def source(tiny_site: Installation) -> str:
    """Annotation set: what the model says, with a corner that it does not know."""
    return post_source(tiny_site, IMAGES)


def fit(site: Installation, annotation_set: str, **more: Any) -> dict[str, Any]:
    body = {"model": "tiny", "pipeline": {"select": None}, "views": 2, **more}
    job = start_job(site, type="fit_connectivity", annotation_set=annotation_set, **body)
    site.settle()
    return get_job(site, job["id"])


def test_a_new_version_with_the_classifier(tiny_site: Installation, source: str) -> None:
    site = tiny_site
    job = fit(site, source, sample_images=5)
    assert job["status"] == "succeeded", job["error"]
    assert nonzero(job["counts"]) == {"total": 5, "succeeded": 5}
    result = job["result"]
    assert (result["model"], result["images"], result["views"]) == ("tiny:2", 5, 10)
    version = site.client.get("/v1/models/tiny/versions/2").json()
    assert version["facts"]["has_connectivity"] is True
    assert version["provenance"]["parent"] == "tiny:1"
    assert version["provenance"]["annotation_set"] == source
    assert site.objects.exists(model_key(version["digest"], "connectivity.safetensors"))
    again = fit(site, source, sample_images=5)
    assert again["result"]["model"] == "tiny:2"  # the same files are one version

    pipeline = {"select": None, "correct": {"fit": "model"}}
    labelling = post_images(site, IMAGES, model="tiny:2", pipeline=pipeline)["job"]["id"]
    site.settle()
    (item, *_) = get_items(site, labelling).values()
    path = f"/v1/labels/{item['label_id']}/artifacts/regions.json"
    assert site.client.get(path).json()["decided_by"] == "model"


def test_an_adapted_version_keeps_it(tiny_site: Installation, source: str) -> None:
    site = tiny_site
    fit(site, source, promote=True)
    image_set = post_set(site, IMAGES)["id"]
    job = start_job(site, type="adapt", image_set=image_set, model="tiny")
    site.settle()
    reference = get_job(site, job["id"])["result"]["model"]
    digest = site.client.get(f"/v1/models/tiny/versions/{reference[-1]}").json()["digest"]
    assert site.objects.exists(model_key(digest, "connectivity.safetensors"))


def test_nothing_to_fit_on(tiny_site: Installation) -> None:
    site = tiny_site
    image_set = post_set(site, IMAGES)["id"]
    files = {name: index_png(np.full((48, 64), 255, np.uint8)) for name in IMAGES}
    source = post_annotations(site, image_set, files, purpose="source").json()["id"]
    job = fit(site, source)
    assert (job["status"], job["error"]["code"]) == ("failed", "no-usable-image")
    assert site.client.get("/v1/models/tiny/versions/2").status_code == 404


@pytest.mark.parametrize("purpose", ["initial", "validation", "evaluation"])
def test_labels_of_another_purpose_are_refused(tiny_site: Installation, purpose: str) -> None:
    image_set = post_set(tiny_site, IMAGES)["id"]
    files = {"0.png": index_png(np.zeros((48, 64), np.uint8))}
    made = post_annotations(tiny_site, image_set, files, purpose=purpose).json()["id"]
    body = {"type": "fit_connectivity", "annotation_set": made, "model": "tiny"}
    answer = tiny_site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
