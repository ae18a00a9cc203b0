"""DELETE over HTTP: what stands in the way, what is gone, and that no half of it is left."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from domain.retention import Retention
from storage.catalog.engine import Catalog
from storage.catalog.tables import (
    AnnotationRow,
    AnnotationSetRow,
    ImageSetEntryRow,
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
)
from tests.support.api import (
    get_items,
    get_job,
    index_png,
    post_annotations,
    post_images,
    post_set,
    start_job,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation

FILES = {"a.png": png_bytes(1), "b.png": png_bytes(2)}


def delete(site: Installation, path: str, *, force: bool = False) -> Any:
    return site.client.delete(f"/v1/{path}", params={"force": "true"} if force else None)


def is_gone(site: Installation, path: str) -> bool:
    answer = site.client.get(f"/v1/{path}")
    if answer.status_code == 410:
        assert answer.json()["code"] == "gone"
        assert "deleted" in answer.json()["detail"]
    return bool(answer.status_code == 410)


def conflict(answer: Any) -> list[str]:
    """Pointers of a refusal."""
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict"), answer.text
    return [error["pointer"] for error in answer.json().get("errors", [])]


def rows_of(catalog: Catalog, table: Any) -> int:
    with catalog.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def finished(site: Installation) -> tuple[str, str]:
    """(image set, job) of two labelled images."""
    posted = post_images(site, FILES)
    site.settle()
    return posted["image_set"]["id"], posted["job"]["id"]


class TestImageSet:
    def test_without_dependents(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, FILES)["id"]
        assert delete(site, f"image-sets/{image_set}").status_code == 204
        assert is_gone(site, f"image-sets/{image_set}")
        assert is_gone(site, f"image-sets/{image_set}/images")
        assert site.client.get("/v1/image-sets").json()["image_sets"] == []
        assert delete(site, f"image-sets/{image_set}").status_code == 204  # again does no harm
        body = {"type": "generate", "image_set": image_set, "model": "tiny"}
        answer = site.client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")

    def test_a_finished_job_is_told_and_force_goes_on(self, both_site: Installation) -> None:
        site = both_site
        image_set, job_id = finished(site)
        assert conflict(delete(site, f"image-sets/{image_set}")) == [f"/v1/jobs/{job_id}"]
        assert not is_gone(site, f"image-sets/{image_set}")
        assert delete(site, f"image-sets/{image_set}", force=True).status_code == 204
        assert is_gone(site, f"image-sets/{image_set}")
        assert get_job(site, job_id)["status"] == "succeeded"
        digest = get_items(site, job_id)["a.png"]["image_digest"]
        Retention(site.catalog, site.settings).slice(5)
        assert rows_of(site.catalog, ImageSetEntryRow) == 0
        assert site.client.get(f"/v1/images/{digest}").status_code == 200
        assert site.client.get(f"/v1/jobs/{job_id}/results").status_code == 200
        retried = site.client.post(f"/v1/jobs/{job_id}:retry", json={"only": "all"})
        assert (retried.status_code, retried.json()["code"]) == (410, "gone")

    def test_an_unfinished_job_stands_in_the_way_of_force_too(
        self, both_site: Installation
    ) -> None:
        posted = post_images(both_site, FILES)
        image_set, job_id = posted["image_set"]["id"], posted["job"]["id"]
        for force in (False, True):
            answer = delete(both_site, f"image-sets/{image_set}", force=force)
            assert conflict(answer) == [f"/v1/jobs/{job_id}"]
            assert ":cancel" in answer.json()["detail"]
        both_site.settle()
        assert get_job(both_site, job_id)["status"] == "succeeded"

    def test_annotation_sets_go_with_it(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, FILES)["id"]
        truth = {"a.png": index_png([[0] * 32] * 24)}
        annotations = post_annotations(site, image_set, truth).json()["id"]
        assert conflict(delete(site, f"image-sets/{image_set}")) == [
            f"/v1/annotation-sets/{annotations}"
        ]
        assert delete(site, f"image-sets/{image_set}", force=True).status_code == 204
        assert is_gone(site, f"annotation-sets/{annotations}")
        answer = post_annotations(site, image_set, truth)
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")

    def test_one_that_receives_files_waits(self, sqlite_site: Installation) -> None:
        image_set = post_set(sqlite_site, FILES)["id"]
        with sqlite_site.catalog.write() as session:
            row: Any = session.get(ImageSetRow, image_set)
            row.status = "receiving"
        assert conflict(delete(sqlite_site, f"image-sets/{image_set}")) == []
        assert delete(sqlite_site, f"image-sets/{image_set}", force=True).status_code == 204


class TestJob:
    def test_items_go_in_batches_and_then_the_trace(self, both_site: Installation) -> None:
        site = both_site
        image_set, job_id = finished(site)
        assert delete(site, f"jobs/{job_id}").status_code == 204
        for path in ("", "/items", "/results", "/events"):
            assert is_gone(site, f"jobs/{job_id}{path}"), path
        assert site.client.get("/v1/jobs").json()["jobs"] == []
        answer = site.client.post(f"/v1/jobs/{job_id}:retry", json={})
        assert answer.status_code == 410
        assert rows_of(site.catalog, JobItemRow) == 2  # the request itself was short
        Retention(site.catalog, site.settings).slice(5)
        assert rows_of(site.catalog, JobItemRow) == 0
        assert is_gone(site, f"jobs/{job_id}")
        forgetful = site.settings.model_copy(update={"keep_deleted_days": 0.0})
        Retention(site.catalog, forgetful).slice(5)
        assert rows_of(site.catalog, JobRow) == 0
        assert site.client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert delete(site, f"image-sets/{image_set}").status_code == 204

    def test_one_that_is_not_over(self, both_site: Installation) -> None:
        site = both_site
        job_id = post_images(site, FILES)["job"]["id"]
        site.scheduler.turn()
        answer = delete(site, f"jobs/{job_id}")
        assert conflict(answer) == []
        assert f"/v1/jobs/{job_id}:cancel" in answer.json()["detail"]
        assert delete(site, f"jobs/{job_id}", force=True).status_code == 204
        assert is_gone(site, f"jobs/{job_id}")
        site.settle()
        with site.catalog.read() as session:
            row: Any = session.get(JobRow, job_id)
            assert (row.status, row.queued, row.running) == ("cancelled", 0, 0)
        Retention(site.catalog, site.settings).slice(5)
        assert rows_of(site.catalog, JobItemRow) == 0

    def test_a_job_that_another_one_works_from(self, both_site: Installation) -> None:
        site = both_site
        _, job_id = finished(site)
        retry = site.client.post(f"/v1/jobs/{job_id}:retry", json={"only": "all"}).json()["id"]
        for force in (False, True):
            assert conflict(delete(site, f"jobs/{job_id}", force=force)) == [f"/v1/jobs/{retry}"]
        site.settle()
        assert delete(site, f"jobs/{job_id}").status_code == 204
        forgetful = site.settings.model_copy(update={"keep_deleted_days": 0.0})
        Retention(site.catalog, forgetful).slice(5)
        document = get_job(site, retry)
        assert (document["status"], document["retry_of"]) == ("succeeded", None)

    def test_unknown(self, sqlite_site: Installation) -> None:
        for path in ("jobs/job_x", "image-sets/x", "labels/x", "annotation-sets/x"):
            answer = delete(sqlite_site, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path


class TestLabel:
    def test_the_item_stays_without_it(self, both_site: Installation) -> None:
        site = both_site
        _, job_id = finished(site)
        label_id = get_items(site, job_id)["a.png"]["label_id"]
        assert conflict(delete(site, f"labels/{label_id}")) == [f"/v1/jobs/{job_id}"]
        assert delete(site, f"labels/{label_id}", force=True).status_code == 204
        assert is_gone(site, f"labels/{label_id}")
        assert is_gone(site, f"labels/{label_id}/artifacts/label.png")
        lines = site.client.get(f"/v1/jobs/{job_id}/results").text.splitlines()
        assert [("label_url" in line) for line in sorted(lines)] == [False, True]
        forgetful = site.settings.model_copy(update={"keep_deleted_days": 0.0})
        Retention(site.catalog, forgetful).slice(5)
        assert rows_of(site.catalog, LabelRow) == 1
        assert get_items(site, job_id)["a.png"]["label_id"] is None
        assert site.client.get(f"/v1/labels/{label_id}").status_code == 404

    @pytest.mark.parametrize("again", ["retry", "new job"])
    def test_the_same_work_makes_a_new_one(self, both_site: Installation, again: str) -> None:
        site = both_site
        image_set, job_id = finished(site)
        label_id = get_items(site, job_id)["a.png"]["label_id"]
        delete(site, f"labels/{label_id}", force=True)
        if again == "retry":
            new = site.client.post(f"/v1/jobs/{job_id}:retry", json={"only": "failed"}).json()
        else:
            new = start_job(site, type="generate", image_set=image_set, model="tiny",
                            pipeline={"select": None})  # fmt: skip
        site.settle()
        fresh = get_items(site, new["id"])["a.png"]["label_id"]
        assert fresh not in (None, label_id)
        assert site.client.get(f"/v1/labels/{fresh}/artifacts/label.png").status_code == 200
        assert is_gone(site, f"labels/{label_id}")

    def test_a_job_at_work_stands_in_the_way(self, both_site: Installation) -> None:
        site = both_site
        _, job_id = finished(site)
        label_id = get_items(site, job_id)["a.png"]["label_id"]
        retry = site.client.post(f"/v1/jobs/{job_id}:retry", json={"only": "all"}).json()["id"]
        answer = delete(site, f"labels/{label_id}", force=True)
        assert conflict(answer) == [f"/v1/jobs/{retry}"]


class TestModelVersion:
    def test_the_promoted_one(self, both_site: Installation, tmp_path: Path) -> None:
        site = both_site
        site.add_tiny_model(tmp_path / "second", seed=1)
        path = "models/tiny/versions/2"
        assert conflict(delete(site, path)) == ["/v1/models/tiny"]
        assert delete(site, path, force=True).status_code == 204
        assert is_gone(site, path)
        model = site.client.get("/v1/models/tiny").json()
        assert (model["current_version"], model["versions"]) == (None, 1)
        body = {"type": "generate", "image_set": post_set(site, FILES)["id"], "model": "tiny"}
        assert site.client.post("/v1/jobs", json=body).json()["code"] == "model-not-ready"
        assert site.client.post("/v1/jobs", json={**body, "model": "tiny:2"}).status_code == 410
        assert site.client.post(f"/v1/{path}:promote").status_code == 410
        assert site.client.post("/v1/jobs", json={**body, "model": "tiny:1"}).status_code == 202
        # the same files again are a new version: numbers are never given twice
        assert site.add_tiny_model(tmp_path / "second", seed=1) == "tiny:3"

    def test_a_job_that_uses_it(self, both_site: Installation, tmp_path: Path) -> None:
        site = both_site
        posted = post_images(site, FILES, model="tiny:1")
        site.add_tiny_model(tmp_path / "second", seed=1)
        path = "models/tiny/versions/1"
        for force in (False, True):
            assert conflict(delete(site, path, force=force)) == [f"/v1/jobs/{posted['job']['id']}"]
        site.settle()
        assert delete(site, path).status_code == 204
        label_id = get_items(site, posted["job"]["id"])["a.png"]["label_id"]
        label = site.client.get(f"/v1/labels/{label_id}").json()
        assert (label["model"], len(label["ontology"]["classes"])) == ("tiny:1", 3)

    def test_unknown(self, both_site: Installation) -> None:
        for path in ("models/tiny/versions/9", "models/none/versions/1"):
            assert delete(both_site, path).status_code == 404


class TestAnnotationSet:
    def test_gone_with_its_annotations(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, FILES)["id"]
        truth = {"a.png": index_png([[0] * 32] * 24)}
        annotations = post_annotations(site, image_set, truth).json()["id"]
        assert delete(site, f"annotation-sets/{annotations}").status_code == 204
        assert is_gone(site, f"annotation-sets/{annotations}")
        body = {"type": "evaluate", "annotation_set": annotations, "model": "tiny"}
        assert site.client.post("/v1/jobs", json=body).status_code == 410
        Retention(site.catalog, site.settings).slice(5)
        assert rows_of(site.catalog, AnnotationRow) == 0
        forgetful = site.settings.model_copy(update={"keep_deleted_days": 0.0})
        Retention(site.catalog, forgetful).slice(5)
        assert rows_of(site.catalog, AnnotationSetRow) == 0

    def test_an_evaluation_at_work_stands_in_the_way(self, both_site: Installation) -> None:
        site = both_site
        image_set = post_set(site, FILES)["id"]
        truth = {"a.png": index_png([[0] * 32] * 24)}
        annotations = post_annotations(site, image_set, truth).json()["id"]
        job = start_job(site, type="evaluate", annotation_set=annotations, model="tiny")
        for path in (f"annotation-sets/{annotations}", f"image-sets/{image_set}"):
            pointers = conflict(delete(site, path, force=True))
            assert f"/v1/jobs/{job['id']}" in pointers
        site.settle()
        assert get_job(site, job["id"])["status"] == "succeeded"
        assert delete(site, f"annotation-sets/{annotations}").status_code == 204
