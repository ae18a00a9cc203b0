"""Evaluate jobs: the figures of `models.metrics` on labels that are known pixel by pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.support.api import (
    classes_json,
    get_items,
    get_job,
    get_png,
    index_png,
    post_annotations,
    post_images,
    start_job,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {f"{i}.png": png_bytes(i) for i in range(3)}


def labelled(site: Installation) -> tuple[str, str, dict[str, np.ndarray]]:
    """Image set, job, and its argmax labels by file name."""
    created = post_images(site, IMAGES)
    site.settle()
    job_id = created["job"]["id"]
    labels = {n: get_png(site, i["label_id"]) for n, i in get_items(site, job_id).items()}
    return created["image_set"]["id"], job_id, labels


def flawed(label: np.ndarray) -> np.ndarray:
    """The label with its first row turned into another class, its last row not annotated."""
    truth = label.copy()
    truth[0] = (truth[0] + 1) % 3
    truth[-1] = 255
    return truth


class TestEvaluate:
    @pytest.mark.parametrize("what", ["labels_of_job", "model"])
    def test_figures(self, both_site: Installation, what: str) -> None:
        site = both_site
        image_set, job_id, labels = labelled(site)
        truths = {name: index_png(flawed(label)) for name, label in labels.items()}
        annotations = post_annotations(site, image_set, truths).json()["id"]
        asked = {"labels_of_job": job_id} if what == "labels_of_job" else {"model": "tiny"}
        job = start_job(site, type="evaluate", annotation_set=annotations, **asked)
        site.settle()
        job = get_job(site, job["id"])
        assert job["status"] == "succeeded"
        quality = job["result"]["quality"]
        assert quality["images"] == 3
        assert quality["pixels"] == 3 * 23 * 32
        assert quality["coverage"] == 1.0
        assert quality["accuracy_kept"] == pytest.approx(22 / 23)  # one row of 23 is wrong
        expected = _iou(labels, truths)
        assert quality["iou"] == pytest.approx(expected)
        assert quality["miou_full"] == pytest.approx(sum(expected.values()) / 3)
        assert quality["miou_kept"] == quality["miou_full"]

    def test_image_without_a_label(self, tiny_site: Installation) -> None:
        site = tiny_site
        _, job_id, _ = labelled(site)
        other = post_images(site, {"x.png": png_bytes(7), "0.png": png_bytes(0)})
        site.settle()
        truth = index_png(np.zeros((24, 32)))
        annotations = post_annotations(
            site, other["image_set"]["id"], {"x.png": truth, "0.png": truth}
        ).json()["id"]
        job = start_job(site, type="evaluate", annotation_set=annotations, labels_of_job=job_id)
        site.settle()
        job = get_job(site, job["id"])
        assert job["status"] == "partial"
        assert job["result"]["quality"]["images"] == 1
        error = get_items(site, job["id"])["x.png"]["error"]
        assert error["detail"] == f"Job '{job_id}' has no label for this image."

    def test_retry_gives_the_same_figures(self, tiny_site: Installation) -> None:
        site = tiny_site
        image_set, job_id, labels = labelled(site)
        truths = {name: index_png(flawed(label)) for name, label in labels.items()}
        annotations = post_annotations(site, image_set, truths).json()["id"]
        job = start_job(site, type="evaluate", annotation_set=annotations, labels_of_job=job_id)
        site.settle()
        answer = site.client.post(f"/v1/jobs/{job['id']}:retry", json={"only": "failed"})
        site.settle()
        again = get_job(site, answer.json()["id"])
        assert again["result"] == get_job(site, job["id"])["result"]


def _iou(labels: dict[str, np.ndarray], truths: dict[str, bytes]) -> dict[str, float]:
    """Intersection over union class by class, over the annotated pixels, the slow way."""
    hits, union = np.zeros(3), np.zeros(3)
    for name, label in labels.items():
        truth = np.asarray(Image.open(io.BytesIO(truths[name])))
        for c in range(3):
            here = (label == c) & (truth != 255)
            hits[c] += (here & (truth == c)).sum()
            union[c] += (here | (truth == c)).sum()
    return dict(zip(("road", "sky", "car"), hits / union, strict=True))


class TestRefusals:
    def test_classes_that_differ(self, tiny_site: Installation) -> None:
        site = tiny_site
        image_set, job_id, _ = labelled(site)
        annotations = post_annotations(
            site,
            image_set,
            {"0.png": index_png(np.zeros((24, 32)))},
            classes=classes_json(("road", "cow")),
        ).json()["id"]
        for asked in ({"labels_of_job": job_id}, {"model": "tiny"}):
            body = {"type": "evaluate", "annotation_set": annotations, **asked}
            answer = site.client.post("/v1/jobs", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "ontology-mismatch")
            assert (
                "Only in the annotations: cow; only in the model: sky, car"
                in (answer.json()["detail"])
            )

    def test_what_cannot_be_evaluated(self, tiny_site: Installation) -> None:
        site = tiny_site
        image_set, job_id, _ = labelled(site)
        truth = {"0.png": index_png(np.zeros((24, 32)))}
        good = post_annotations(site, image_set, truth).json()["id"]
        initial = post_annotations(site, image_set, truth, purpose="initial").json()["id"]
        queued = post_images(site, {"q.png": png_bytes(8)})["job"]["id"]
        unknown = "ann_00000000000000000000000000"

        def refusal(annotation_set: str, **asked: object) -> tuple[int, str]:
            body = {"type": "evaluate", "annotation_set": annotation_set, **asked}
            answer = site.client.post("/v1/jobs", json=body)
            return answer.status_code, answer.json()["code"]

        assert refusal(unknown, model="tiny") == (404, "not-found")
        assert refusal(initial, model="tiny") == (409, "state-conflict")
        assert refusal(good) == (422, "validation-error")
        assert refusal(good, model="tiny", labels_of_job=job_id) == (422, "validation-error")
        assert refusal(good, labels_of_job=queued) == (409, "state-conflict")
        assert refusal(good, model="tiny", pipeline={}) == (422, "validation-error")
        fixed = {"select": {"thresholds": 0.5}}
        answer = site.client.post(
            "/v1/jobs",
            json={"type": "evaluate", "annotation_set": good, "model": "tiny", "pipeline": fixed},
        )
        assert answer.status_code == 202
