"""Refine jobs that start from uploaded labels of purpose `initial`."""

from typing import Any

import numpy as np
import pytest

from tests.support.api import (
    classes_json,
    get_items,
    get_job,
    get_png,
    index_png,
    post_annotations,
    post_set,
    start_job,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import assert_consistent

IMAGES = {f"{i}.png": png_bytes(i) for i in range(3)}
ONE_PASS: dict[str, Any] = {"correct": {"fit": "model", "keep_below": 1.0}}


def given(seed: int) -> np.ndarray:
    """A label of blocks with a hole, (24, 32)."""
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 3, (2, 2)), np.ones((12, 16), int)).astype(np.uint8)
    label[6:10, 4:9] = 255
    return label


@pytest.fixture
def initial(tiny_site: Installation) -> str:
    """Annotation set with labels of two of three images."""
    image_set = post_set(tiny_site, IMAGES)["id"]
    files = {f"{i}.png": index_png(given(i)) for i in range(2)}
    answer = post_annotations(tiny_site, image_set, files, purpose="initial")
    return str(answer.json()["id"])


def refine(site: Installation, initial: str, **more: Any) -> dict[str, Any]:
    labels = {"annotation_set": initial}
    job = start_job(site, type="refine", labels=labels, model="tiny", **more)
    site.settle()
    return get_job(site, job["id"])


@pytest.mark.parametrize(
    "pipeline", [ONE_PASS, {"correct": {"keep_below": 1.0}}], ids=["one pass", "two passes"]
)
def test_labels_are_the_uploaded_ones_where_nothing_is_doubted(
    tiny_site: Installation, initial: str, pipeline: dict[str, Any]
) -> None:
    site = tiny_site
    job = refine(site, initial, pipeline=pipeline)
    assert (job["status"], job["counts"]["total"]) == ("succeeded", 2)
    assert job["pipeline"]["select"] is None
    assert job["result"] == {"initial_labels": initial, "taken_over": 0}
    items = get_items(site, job["id"])
    assert sorted(items) == ["0.png", "1.png"]
    for seed in range(2):
        label_id = items[f"{seed}.png"]["label_id"]
        np.testing.assert_array_equal(get_png(site, label_id), given(seed))
        lineage = site.client.get(f"/v1/labels/{label_id}/lineage").json()
        assert len(lineage["kept_label"]) == 64
        regions = site.client.get(f"/v1/labels/{label_id}/artifacts/regions.json").json()
        assert {r["decision"] for r in regions["regions"]} == {"kept"}
        assert regions["decided_by"] == "none"
    assert_consistent(site.catalog, job["id"])


def test_other_labels_make_another_label(tiny_site: Installation, initial: str) -> None:
    site = tiny_site
    old = refine(site, initial, pipeline=ONE_PASS)
    files = {f"{i}.png": index_png(given(i + 7)) for i in range(2)}
    made = post_annotations(site, old["image_set"], files, purpose="initial").json()["id"]
    new = refine(site, made, pipeline=ONE_PASS)
    digests = [
        {site.client.get(f"/v1/labels/{i['label_id']}").json()["digest"] for i in found.values()}
        for found in (get_items(site, old["id"]), get_items(site, new["id"]))
    ]
    assert not digests[0] & digests[1]


def test_a_refinement_of_the_job_starts_from_the_same_labels(
    tiny_site: Installation, initial: str
) -> None:
    site = tiny_site
    old = refine(site, initial, pipeline=ONE_PASS)
    job = start_job(site, type="refine", labels={"job": old["id"]})
    site.settle()
    again = get_job(site, job["id"])
    assert again["counts"]["total"] == 2
    assert again["result"]["taken_over"] == 2


def test_an_uploaded_label_that_is_lost_harms_its_image_alone(
    tiny_site: Installation, initial: str
) -> None:
    site = tiny_site
    keys = sorted(found.key for found in site.objects.list("annotations"))
    site.objects.delete(keys[:1])
    job = refine(site, initial, pipeline=ONE_PASS)
    assert (job["status"], job["counts"]["failed"], job["counts"]["succeeded"]) == ("partial", 1, 1)
    failed = {stage["name"]: stage["failed"] for stage in job["stages"]}
    assert failed == {"predict": 0, "correct": 0}  # `select` is not a stage of this job


@pytest.mark.parametrize(
    ("change", "status", "code", "told"),
    [
        ({"model": None}, 422, "validation-error", "Name a `model`"),
        ({"pipeline": {"select": None}}, 422, "validation-error", "as they are"),
        ({"model": "nobody"}, 404, "not-found", "nobody"),
    ],
)
def test_refused(
    tiny_site: Installation,
    initial: str,
    change: dict[str, Any],
    status: int,
    code: str,
    told: str,
) -> None:
    body = {"type": "refine", "labels": {"annotation_set": initial}, "model": "tiny", **change}
    answer = tiny_site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert told in answer.json()["detail"]


def test_labels_of_other_classes(tiny_site: Installation, initial: str) -> None:
    site = tiny_site
    image_set = site.client.get(f"/v1/annotation-sets/{initial}").json()["image_set"]
    classes = classes_json(("road", "sky", "tree"))
    files = {"0.png": index_png(given(0))}
    made = post_annotations(site, image_set, files, purpose="initial", classes=classes).json()["id"]
    body = {"type": "refine", "labels": {"annotation_set": made}, "model": "tiny"}
    answer = site.client.post("/v1/jobs", json=body | {"pipeline": ONE_PASS})
    assert (answer.status_code, answer.json()["code"]) == (422, "ontology-mismatch")
