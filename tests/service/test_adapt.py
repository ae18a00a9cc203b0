from typing import Any

from storage.objects import model_key
from tests.support.api import get_job, label_bytes, nonzero, post_images, post_set, start_job
from tests.support.images import png_bytes
from tests.support.installation import Installation

IMAGES = {f"{i}.png": png_bytes(i) for i in range(6)}


def adapt(site: Installation, image_set: str, **more: object) -> dict[str, Any]:
    job = start_job(site, type="adapt", image_set=image_set, model="tiny", **more)
    site.settle()
    return get_job(site, job["id"])


class TestAdapt:
    def test_a_new_version_that_labels_differently(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, IMAGES)["id"]
        job = adapt(site, image_set, sample_images=4)
        assert job["status"] == "succeeded"
        assert nonzero(job["counts"]) == {"total": 4, "succeeded": 4}
        assert (job["result"]["model"], job["result"]["images"]) == ("tiny:2", 4)
        assert job["result"]["changed"] is True
        version = site.client.get("/v1/models/tiny/versions/2").json()
        assert version["provenance"]["parent"] == "tiny:1"
        assert version["provenance"]["job"] == job["id"]
        assert site.client.get("/v1/models/tiny").json()["current_version"] == 1
        jobs = [post_images(site, IMAGES, model=m)["job"]["id"] for m in ("tiny", "tiny:2")]
        site.settle()
        before, after = (label_bytes(site, job_id) for job_id in jobs)
        assert all(before[name] != after[name] for name in IMAGES)
        promoted = site.client.post("/v1/models/tiny/versions/2:promote")
        assert promoted.json()["current_version"] == 2
        again = post_images(site, IMAGES)["job"]
        assert again["model"] == "tiny:2"

    def test_promote_at_once(self, tiny_site: Installation) -> None:
        image_set = post_set(tiny_site, IMAGES)["id"]
        adapt(tiny_site, image_set, promote=True)
        assert tiny_site.client.get("/v1/models/tiny").json()["current_version"] == 2

    def test_twice_is_the_same_version(self, tiny_site: Installation) -> None:
        image_set = post_set(tiny_site, IMAGES)["id"]
        results = [adapt(tiny_site, image_set)["result"]["model"] for _ in range(2)]
        assert results == ["tiny:2", "tiny:2"]

    def test_order_of_upload_does_not_matter(self, tiny_site: Installation) -> None:
        sets = [post_set(tiny_site, list(IMAGES.items())[::step])["id"] for step in (1, -1)]
        assert [adapt(tiny_site, s)["result"]["model"] for s in sets] == ["tiny:2", "tiny:2"]

    def test_files_that_cannot_be_decoded(self, tiny_site: Installation) -> None:
        files = {"a.png": png_bytes(1), "b.png": png_bytes(2), "cut.png": png_bytes(3)[:-60]}
        job = adapt(tiny_site, post_set(tiny_site, files)["id"])
        assert (job["status"], job["result"]["images"]) == ("partial", 2)

    def test_too_few_images(self, tiny_site: Installation) -> None:
        one = post_set(tiny_site, {"a.png": png_bytes(1), "b.png": png_bytes(1)})["id"]
        body = {"type": "adapt", "image_set": one, "model": "tiny"}
        answer = tiny_site.client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        bad = {"a.png": png_bytes(1), "b.png": png_bytes(2)[:-60]}
        job = adapt(tiny_site, post_set(tiny_site, bad)["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "no-usable-image")
        assert job["result"] is None


class TestTruthIsolation:
    """Labels of purpose `evaluation` change no byte of any label or weight."""

    def test_planted_annotations_change_nothing(self, tiny_site: Installation) -> None:
        import numpy as np

        from tests.support.api import index_png, post_annotations

        site = tiny_site
        pipeline = {"select": {"mode": "class_balanced", "keep_fraction": 0.5}}
        first = post_images(site, IMAGES, pipeline=pipeline)
        site.settle()
        before = label_bytes(site, first["job"]["id"])
        adapted = adapt(site, first["image_set"]["id"])["result"]["model"]
        weights = _weights(site, adapted)

        second = post_images(site, IMAGES, pipeline={**pipeline, "pilot_images": 255})
        for value in (0, 1, 2, 255):
            lies = {name: index_png(np.full((24, 32), value)) for name in IMAGES}
            answer = post_annotations(site, second["image_set"]["id"], lies)
            assert answer.status_code == 201
        site.settle()
        assert label_bytes(site, second["job"]["id"]) == before
        assert second["job"]["pipeline_digest"] != first["job"]["pipeline_digest"]  # done anew
        again = adapt(site, second["image_set"]["id"])["result"]["model"]
        assert (again, _weights(site, again)) == (adapted, weights)


def _weights(site: Installation, reference: str) -> bytes:
    name, number = reference.split(":")
    digest = site.client.get(f"/v1/models/{name}/versions/{number}").json()["digest"]
    return site.objects.get(model_key(digest, "segmenter.safetensors"))
