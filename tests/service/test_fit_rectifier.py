"""Jobs that fit a model's rectifier, with labels and without, and labels made with it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.annotated_jobs import LEAST_RECTIFIER_IMAGES
from models.connectivity import source_fit as connectivity_fit
from models.connectivity.classifier import fit_prior
from models.connectivity.training import TrainingSettings
from models.rectification import source_fit, source_free
from models.rectification.rectifier import Rectifier, weights_digest
from storage.objects import model_key
from tests.support.api import (
    get_items,
    get_job,
    get_png,
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
from tests.support.tiny_rectifier import fit_tiny_rectifier, tiny_rectifier

IMAGES = {f"{i}.png": png_bytes(i, 48, 64) for i in range(8)}
FEW = dict(list(IMAGES.items())[:3])
RECTIFIED: dict[str, Any] = {"rectify": {}, "select": None, "keep_stages": True}
QUICK_CLASSIFIER = TrainingSettings(most_rounds=2, round_steps=2, hidden=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_fit, "fit_rectifier", fit_tiny_rectifier)


def fit(site: Installation, annotation_set: str, **more: Any) -> dict[str, Any]:
    body = {"type": "fit_rectifier", "model": "tiny", "promote": True, **more}
    job = start_job(site, annotation_set=annotation_set, **body)
    site.settle()
    return get_job(site, job["id"])


@pytest.fixture
def rectified_site(sqlite_site: Installation, tmp_path: Path) -> Installation:
    """An installation whose model `tiny` has a rectifier."""
    sqlite_site.add_tiny_model(tmp_path / "tiny", rectified=True)
    return sqlite_site


def version(site: Installation, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.client.get(f"/v1/models/tiny/versions/{number}").json()
    return found


def has_file(site: Installation, number: int, name: str) -> bool:
    return site.objects.exists(model_key(version(site, number)["digest"], name))


def label_of(site: Installation, job_id: str, name: str = "0.png") -> dict[str, Any]:
    label_id = get_items(site, job_id)[name]["label_id"]
    found: dict[str, Any] = site.client.get(f"/v1/labels/{label_id}").json()
    return found


def test_a_new_version_with_the_rectifier(tiny_site: Installation) -> None:
    site = tiny_site
    source = post_source(site, IMAGES)
    # Of a pipeline the job uses `predict` alone, so that the one of later labels can be named.
    job = fit(site, source, sample_images=8, pipeline={"rectify": {}, "predict": {"flip": True}})
    assert job["status"] == "succeeded", job["error"]
    assert nonzero(job["counts"]) == {"total": 8, "succeeded": 8}
    assert job["pipeline"]["predict"]["flip"] is True
    assert (job["pipeline"]["rectify"], job["pipeline"]["select"]) == (None, None)
    assert (job["result"]["model"], job["result"]["images"]) == ("tiny:2", 8)
    made = version(site, 2)
    assert made["facts"]["has_rectifier"] is True
    assert (made["provenance"]["source"], made["provenance"]["parent"]) == (
        "fit_rectifier",
        "tiny:1",
    )
    assert made["provenance"]["annotation_set"] == source
    assert has_file(site, 2, "rectifier.safetensors")
    assert not has_file(site, 2, "connectivity.safetensors")
    again = fit(site, source, model="tiny:1", sample_images=8)
    assert again["result"]["model"] == "tiny:2"  # the same files are one version


def test_without_labels_r_is_not_calibrated(
    tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def without_labels(
        model: Any, images: Iterable[Any], config: Any, seed: int, region_model: Any
    ) -> tuple[Rectifier, dict[str, Any]]:
        seen.extend([seed, region_model.kind, [image.shape for image in images]])
        fitted = tiny_rectifier(model.ontology, weights_digest(model))
        return replace(fitted, calibrated=False), {"images": 8}

    monkeypatch.setattr(source_free, "fit_source_free", without_labels)
    site = tiny_site
    image_set = post_set(site, {**IMAGES, "more.png": png_bytes(9, 48, 64)})["id"]
    body = {"type": "fit_rectifier", "model": "tiny", "image_set": image_set, "sample_images": 8}
    started = start_job(site, **body, promote=True, seed=3)
    site.settle()
    job = get_job(site, started["id"])
    assert job["status"] == "succeeded", job["error"]
    assert nonzero(job["counts"]) == {"total": 8, "succeeded": 8}
    assert seen == [3, "graph", [(48, 64, 3)] * 8]
    made = version(site, 2)
    assert made["facts"]["has_rectifier"] is True
    assert made["provenance"]["image_set"] == image_set
    assert "annotation_set" not in made["provenance"]
    job_id = post_images(site, FEW, model="tiny", pipeline=RECTIFIED)["job"]["id"]
    site.settle()
    label = label_of(site, job_id)
    assert label["calibrated"] is False
    assert label["lineage"]["rectified"]["calibrated"] is False


def test_labels_or_images_and_enough_of_them(tiny_site: Installation) -> None:
    site = tiny_site
    image_set = post_set(site, FEW)["id"]
    both = {"image_set": image_set, "annotation_set": post_source(site, IMAGES)}
    for given, reason in (
        ({}, "either"),
        (both, "either"),
        ({"image_set": image_set}, "has 3 usable images; at least 8"),
    ):
        body = {"type": "fit_rectifier", "model": "tiny", **given}
        answer = site.client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert reason in answer.text


def test_labels_say_what_the_stage_did(rectified_site: Installation) -> None:
    site = rectified_site
    job_id = post_images(site, FEW, model="tiny", pipeline=RECTIFIED)["job"]["id"]
    site.settle()
    job = get_job(site, job_id)
    assert job["status"] == "succeeded", job["error"]
    assert [s["name"] for s in job["stages"]] == ["predict", "rectify"]
    label = label_of(site, job_id)
    assert label["calibrated"] is True
    lineage = site.client.get(f"/v1/labels/{label['id']}/lineage").json()
    assert lineage["rectified"]["calibrated"] is True
    assert lineage["stage_versions"] == {"predict": 1, "rectify": 4}
    assert set(label["artifacts"]) >= {"stages/predict.png", "stages/rectify.png"}
    written, before = (
        get_png(site, label["id"], f"stages/{s}.png") for s in ("rectify", "predict")
    )
    np.testing.assert_array_equal(get_png(site, label["id"]), written)
    assert (written != before).mean() == pytest.approx(lineage["rectified"]["changed_fraction"])


def test_labels_of_regions_are_a_ranking(rectified_site: Installation) -> None:
    site = rectified_site
    pipeline = {**RECTIFIED, "select": {"thresholds": 0.5}, "correct": {"fit": "model"}}
    job_id = post_images(site, FEW, model="tiny", pipeline=pipeline)["job"]["id"]
    site.settle()
    assert get_job(site, job_id)["status"] == "succeeded"
    label = label_of(site, job_id)
    assert label["calibrated"] is False
    assert label["lineage"]["rectified"]["calibrated"] is True
    stages = [name for name in label["artifacts"] if name.startswith("stages/")]
    assert sorted(stages) == [
        f"stages/{s}.png" for s in ("correct", "predict", "rectify", "select")
    ]


def test_a_refinement_runs_what_changes(rectified_site: Installation) -> None:
    site = rectified_site
    first = post_images(site, FEW, model="tiny", pipeline=RECTIFIED)["job"]["id"]
    site.settle()
    for change, taken_over in (({}, 3), ({"rectify": {"relabel": False}}, 0)):
        body = {"labels": {"job": first}, "pipeline": {**RECTIFIED, **change}}
        job = start_job(site, type="refine", **body)
        site.settle()
        assert get_job(site, job["id"])["result"]["taken_over"] == taken_over


def test_a_model_without_a_rectifier_is_refused(tiny_site: Installation) -> None:
    site = tiny_site
    created = post_images(site, FEW, pipeline={"select": None})
    site.settle()
    for body in (
        {"type": "generate", "image_set": created["image_set"]["id"], "model": "tiny"},
        {"type": "refine", "labels": {"job": created["job"]["id"]}},
    ):
        answer = site.client.post("/v1/jobs", json={**body, "pipeline": {"rectify": {}}})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "rectifier-missing")
        assert "fit_rectifier" in problem["detail"]
        assert problem["errors"][0]["pointer"] == "/pipeline/rectify"


def test_later_versions_keep_it(
    rectified_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = rectified_site
    monkeypatch.setattr(
        connectivity_fit, "fit_prior", partial(fit_prior, settings=QUICK_CLASSIFIER)
    )
    source = post_source(site, IMAGES)
    body = {"annotation_set": source, "pipeline": {"rectify": {}, "select": None}, "views": 2}
    for job in (
        {"type": "fit_connectivity", **body},
        {"type": "adapt", "image_set": post_set(site, IMAGES)["id"]},
        {"type": "fit_rectifier", "annotation_set": source},
    ):
        started = start_job(site, model="tiny", promote=True, **job)
        site.settle()
        done = get_job(site, started["id"])
        assert done["status"] == "succeeded", done["error"]
        number = int(done["result"]["model"].removeprefix("tiny:"))
        assert number > 1
        facts = version(site, number)["facts"]
        assert (facts["has_rectifier"], facts["has_connectivity"]) == (True, True)
        assert has_file(site, number, "rectifier.safetensors")
        assert has_file(site, number, "connectivity.safetensors")


@pytest.mark.parametrize("reason", [source_fit.NoErrors, source_fit.TooFewImages])
def test_nothing_to_fit_on(
    tiny_site: Installation,
    monkeypatch: pytest.MonkeyPatch,
    reason: type[source_fit.NoErrors] | type[source_fit.TooFewImages],
) -> None:
    def fails(model: Any, labelled: Iterable[Any], *more: Any) -> None:
        raise reason(f"{len(list(labelled))} images are not enough")

    monkeypatch.setattr(source_fit, "fit_rectifier", fails)
    job = fit(tiny_site, post_source(tiny_site, IMAGES))
    assert (job["status"], job["error"]["code"]) == ("failed", reason.code)
    assert job["error"]["detail"] == "8 images are not enough."
    assert tiny_site.client.get("/v1/models/tiny/versions/2").status_code == 404


def test_what_cannot_be_read_again_is_not_stored(
    tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_another_model(model: Any, *more: Any) -> tuple[Rectifier, dict[str, Any]]:
        return tiny_rectifier(model.ontology, fitted_for="another"), {}

    monkeypatch.setattr(source_fit, "fit_rectifier", of_another_model)
    job = fit(tiny_site, post_source(tiny_site, IMAGES))
    assert (job["status"], job["error"]["code"]) == ("failed", "model-unusable")
    assert tiny_site.client.get("/v1/models/tiny/versions/2").status_code == 404


def test_too_few_images(tiny_site: Installation) -> None:
    site = tiny_site
    source = post_source(site, dict(list(IMAGES.items())[:7]))
    body = {"type": "fit_rectifier", "annotation_set": source, "model": "tiny"}
    answer = site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert "at least 8" in answer.json()["detail"]
    # The least that is asked for is the least that the fit takes.
    assert LEAST_RECTIFIER_IMAGES == source_fit._LEAST_IMAGES


@pytest.mark.parametrize("purpose", ["initial", "validation", "evaluation"])
def test_labels_of_another_purpose_are_refused(tiny_site: Installation, purpose: str) -> None:
    image_set = post_set(tiny_site, IMAGES)["id"]
    files = {"0.png": index_png(np.zeros((48, 64), np.uint8))}
    made = post_annotations(tiny_site, image_set, files, purpose=purpose).json()["id"]
    body = {"type": "fit_rectifier", "annotation_set": made, "model": "tiny"}
    answer = tiny_site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
