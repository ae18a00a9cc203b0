"""Refine jobs: what stays the same is taken over, what changes is computed again."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from models.pipeline import LabelPipeline
from storage.catalog.tables import ChunkRow, JobRow, LabelRow
from tests.support.api import (
    get_items,
    get_job,
    index_png,
    label_bytes,
    nonzero,
    post_annotations,
    post_images,
    start_job,
)
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import get_chunks

IMAGES = {**{f"{i}.png": png_bytes(i) for i in range(4)}, "again.png": png_bytes(0), "bad.png": b""}
PILOT = {"select": {"mode": "class_balanced", "keep_fraction": 0.5}}
ARGMAX = {"select": None}
FIXED = {"select": {"thresholds": 0.4}}


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that a model looked at."""
    sizes: list[int] = []
    look = LabelPipeline.look

    def counting(self: LabelPipeline, images: Any) -> Any:
        sizes.append(len(images))
        return look(self, images)

    monkeypatch.setattr(LabelPipeline, "look", counting)
    return sizes


def labelled(site: Installation, pipeline: dict[str, Any]) -> str:
    job_id = str(post_images(site, IMAGES, pipeline=pipeline)["job"]["id"])
    site.settle()
    assert get_job(site, job_id)["status"] == "partial"  # one file was rejected
    return job_id


def refine(site: Installation, job_id: str, **more: Any) -> dict[str, Any]:
    job = start_job(site, type="refine", labels={"job": job_id}, **more)
    site.settle()
    return get_job(site, job["id"])


def files_of(site: Installation, job_id: str) -> dict[str, tuple[bytes, bytes]]:
    found = label_bytes(site, job_id)
    del found["bad.png"]
    return found


def labels_of(site: Installation, job_id: str) -> dict[str, str]:
    return {name: item["label_id"] for name, item in get_items(site, job_id).items()}


class TestTakeOver:
    @pytest.mark.parametrize("pipeline", [ARGMAX, FIXED, PILOT])
    def test_the_same_again_predicts_nothing(
        self, both_site: Installation, pipeline: dict[str, Any], predicted: list[int]
    ) -> None:
        site = both_site
        old = labelled(site, pipeline)
        predicted.clear()
        job = refine(site, old)
        assert predicted == []
        assert get_chunks(site.catalog, job["id"]) == []  # not even a message
        assert (job["status"], job["type"], job["model"]) == ("partial", "refine", "tiny:1")
        assert nonzero(job["counts"]) == {"total": 6, "succeeded": 5, "skipped": 1}
        assert job["refined_from"] == old
        assert job["links"]["refined_from"] == f"/v1/jobs/{old}"
        assert job["result"] == {"refined_from": old, "taken_over": 5}
        assert job["pipeline"] == get_job(site, old)["pipeline"]
        assert labels_of(site, job["id"]) == labels_of(site, old)

    def test_what_a_generate_job_with_the_new_pipeline_gives(
        self, tiny_site: Installation, predicted: list[int]
    ) -> None:
        old = labelled(tiny_site, ARGMAX)
        predicted.clear()
        job = refine(tiny_site, old, pipeline=FIXED)
        assert sum(predicted) == 4
        assert job["result"]["taken_over"] == 0
        wanted = files_of(tiny_site, labelled(tiny_site, FIXED))
        assert files_of(tiny_site, job["id"]) == wanted

    def test_labels_that_somebody_else_made_are_found_without_a_prediction(
        self, tiny_site: Installation, predicted: list[int]
    ) -> None:
        old, other = labelled(tiny_site, ARGMAX), labelled(tiny_site, FIXED)
        predicted.clear()
        job = refine(tiny_site, old, pipeline=FIXED)
        assert predicted == []
        assert labels_of(tiny_site, job["id"]) == labels_of(tiny_site, other)

    def test_a_label_that_is_gone_is_made_again(
        self, tiny_site: Installation, predicted: list[int]
    ) -> None:
        old = labelled(tiny_site, ARGMAX)
        gone = labels_of(tiny_site, old)["1.png"]
        with tiny_site.catalog.write() as session:
            session.execute(update(LabelRow).where(LabelRow.id == gone).values(deleted_at=1.0))
        predicted.clear()
        job = refine(tiny_site, old)
        assert job["result"]["taken_over"] == 4

    def test_a_stage_that_does_otherwise_today(
        self, tiny_site: Installation, predicted: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = labelled(tiny_site, PILOT)
        predicted.clear()
        monkeypatch.setitem(__import__("models.config").config.ALGORITHM_VERSIONS, "predict", 2)
        job = refine(tiny_site, old)
        assert job["result"]["taken_over"] == 0
        assert sum(predicted) == 4
        assert [c.kind for c in get_chunks(tiny_site.catalog, job["id"])].count("pilot") == 1


class TestPilot:
    def test_another_share_to_keep_uses_the_histograms_again(
        self, both_site: Installation, predicted: list[int]
    ) -> None:
        site = both_site
        old = labelled(site, PILOT)
        stricter = {"select": {"mode": "class_balanced", "keep_fraction": 0.25}}
        predicted.clear()
        job = refine(site, old, pipeline=stricter)
        assert {c.kind for c in get_chunks(site.catalog, job["id"])} == {"label"}
        assert sum(predicted) == 4
        assert files_of(site, job["id"]) == files_of(site, labelled(site, stricter))
        # and from there on, though that job has no histograms of its own
        back = refine(site, job["id"], pipeline=PILOT)
        assert {c.kind for c in get_chunks(site.catalog, back["id"])} == {"label"}
        assert labels_of(site, back["id"]) == labels_of(site, old)

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"pilot_images": 3}, {"predict": {"flip": True}}]
    )
    def test_other_inputs_are_sampled_anew(
        self, tiny_site: Installation, change: dict[str, Any]
    ) -> None:
        old = labelled(tiny_site, PILOT)
        job = refine(tiny_site, old, pipeline=PILOT | change)
        assert "pilot" in {c.kind for c in get_chunks(tiny_site.catalog, job["id"])}
        wanted = files_of(tiny_site, labelled(tiny_site, PILOT | change))
        assert files_of(tiny_site, job["id"]) == wanted

    def test_histograms_that_vanish_before_the_fit_are_sampled_anew(
        self, tiny_site: Installation
    ) -> None:
        from domain import planning
        from workers.reuse import LabelReuse

        old = labelled(tiny_site, PILOT)
        stricter = {"select": {"keep_fraction": 0.25}}
        job = start_job(tiny_site, type="refine", labels={"job": old}, pipeline=stricter)
        planning.plan(tiny_site.catalog, job["id"], LabelReuse())
        assert get_job(tiny_site, job["id"])["progress"]["step"] == "pilot"
        with tiny_site.catalog.write() as session:
            session.execute(delete(ChunkRow).where(ChunkRow.job_id == old))
        tiny_site.settle()
        assert get_job(tiny_site, job["id"])["counts"]["succeeded"] == 5
        wanted = files_of(tiny_site, labelled(tiny_site, stricter))
        assert files_of(tiny_site, job["id"]) == wanted


class TestModel:
    def test_current_when_the_job_starts(self, both_site: Installation, tmp_path: Path) -> None:
        site = both_site
        old = labelled(site, ARGMAX)
        job = start_job(site, type="refine", labels={"job": old})
        assert job["model"] == "tiny:1"
        site.add_tiny_model(tmp_path / "better", seed=1)
        site.settle()
        job = get_job(site, job["id"])
        assert (job["model"], job["result"]["taken_over"]) == ("tiny:2", 0)
        assert labels_of(site, job["id"]) != labels_of(site, old)

    def test_a_model_that_is_named(self, tiny_site: Installation, tmp_path: Path) -> None:
        old = labelled(tiny_site, ARGMAX)
        tiny_site.add_tiny_model(tmp_path / "better", seed=1)
        job = refine(tiny_site, old, model="tiny:1")
        assert (job["model"], job["result"]["taken_over"]) == ("tiny:1", 5)

    def test_without_a_current_version_that_of_the_labels(self, tiny_site: Installation) -> None:
        from storage.catalog.tables import ModelRow

        old = labelled(tiny_site, ARGMAX)
        with tiny_site.catalog.write() as session:
            session.execute(update(ModelRow).values(current_version=None))
        job = refine(tiny_site, old)
        assert (job["model"], job["result"]["taken_over"]) == ("tiny:1", 5)

    def test_pipeline_and_model_that_do_not_fit_any_more(
        self, tiny_site: Installation, tmp_path: Path
    ) -> None:
        old = labelled(tiny_site, ARGMAX)
        job = start_job(tiny_site, type="refine", labels={"job": old})
        tiny_site.add_tiny_model(tmp_path / "other", seed=1)
        from storage.catalog.tables import ModelVersionRow

        classes = {"name": "other", "classes": [{"id": 0, "name": "sea", "color": [0, 0, 1]}]}
        with tiny_site.catalog.write() as session:
            session.execute(
                update(ModelVersionRow).where(ModelVersionRow.version == 2).values(ontology=classes)
            )
        tiny_site.settle()
        found = get_job(tiny_site, job["id"])
        assert (found["status"], found["error"]["code"]) == ("failed", "ontology-mismatch")
        assert found["counts"]["cancelled"] == found["counts"]["total"]


class TestRetry:
    def test_keeps_model_pilot_and_what_was_done(
        self, tiny_site: Installation, tmp_path: Path
    ) -> None:
        site = tiny_site
        old = labelled(site, PILOT)
        job = start_job(site, type="refine", labels={"job": old}, pipeline=FIXED)
        site.schedule()
        site.client.post(f"/v1/jobs/{job['id']}:cancel")
        site.add_tiny_model(tmp_path / "better", seed=1)
        retried = site.client.post(f"/v1/jobs/{job['id']}:retry").json()
        site.settle()
        retried = get_job(site, retried["id"])
        assert (retried["status"], retried["model"]) == ("partial", "tiny:1")
        assert (retried["refined_from"], retried["retry_of"]) == (old, job["id"])
        assert retried["result"] == {"refined_from": old, "taken_over": 0}

    def test_of_one_that_never_started(self, tiny_site: Installation, tmp_path: Path) -> None:
        site = tiny_site
        old = labelled(site, ARGMAX)
        job = start_job(site, type="refine", labels={"job": old})
        site.client.post(f"/v1/jobs/{job['id']}:cancel")
        retried = site.client.post(f"/v1/jobs/{job['id']}:retry").json()
        site.settle()
        assert get_job(site, retried["id"])["result"]["taken_over"] == 5

    def test_all_again(self, tiny_site: Installation, predicted: list[int]) -> None:
        site = tiny_site
        old = labelled(site, ARGMAX)
        first = refine(site, old)["id"]
        retried = site.client.post(f"/v1/jobs/{first}:retry", json={"only": "all"}).json()
        site.settle()
        found = get_job(site, retried["id"])
        assert (found["counts"]["succeeded"], found["result"]["taken_over"]) == (5, 0)
        assert labels_of(site, retried["id"]) == labels_of(site, old)

    def test_labels_of_a_refine_job_can_be_refined_and_evaluated(
        self, tiny_site: Installation
    ) -> None:
        site = tiny_site
        old = labelled(site, ARGMAX)
        first = refine(site, old)
        again = refine(site, first["id"])
        assert again["result"] == {"refined_from": first["id"], "taken_over": 5}
        image_set = get_job(site, old)["image_set"]
        truth = {"0.png": index_png([[0] * 32] * 24)}
        annotations = post_annotations(site, image_set, truth).json()["id"]
        job = start_job(
            site, type="evaluate", annotation_set=annotations, labels_of_job=again["id"]
        )
        site.settle()
        assert get_job(site, job["id"])["result"]["quality"]


class TestRefusals:
    def test_labels_that_came_from_outside(self, tiny_site: Installation) -> None:
        site = tiny_site
        image_set = get_job(site, labelled(site, ARGMAX))["image_set"]
        truth = {"0.png": index_png([[0] * 32] * 24)}
        for purpose, status, code in (
            ("evaluation", 409, "state-conflict"),
            ("validation", 409, "state-conflict"),
        ):
            made = post_annotations(site, image_set, truth, purpose=purpose).json()["id"]
            body = {"type": "refine", "labels": {"annotation_set": made}, "model": "tiny"}
            answer = site.client.post("/v1/jobs", json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), purpose

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"labels": {}}, 422, "validation-error"),
            ({"labels": {"job": "job_x"}}, 422, "validation-error"),
            ({"labels": {"job": "job_00000000000000000000000000"}}, 404, "not-found"),
            ({"labels": {"annotation_set": "ann_00000000000000000000000000"}}, 404, "not-found"),
            ({"labels": {"label_set": "x"}}, 422, "validation-error"),
            ({"image_set": "set_00000000000000000000000000"}, 422, "validation-error"),
            ({"model": "nobody"}, 404, "not-found"),
            ({"pipeline": "nothing"}, 404, "not-found"),
            ({"pipeline": {"rectify": {}}}, 422, "rectifier-missing"),
            ({"pipeline": {"aggregate": {"region_model": "tiny"}}}, 422, "validation-error"),
            ({"pipeline": {"select": {"thresholds": [0.5]}}}, 422, "validation-error"),
        ],
    )
    def test_bodies(
        self, tiny_site: Installation, change: dict[str, Any], status: int, code: str
    ) -> None:
        old = labelled(tiny_site, ARGMAX)
        body = {"type": "refine", "labels": {"job": old}} | change
        answer = tiny_site.client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_jobs_that_have_no_labels_to_give(self, tiny_site: Installation) -> None:
        site = tiny_site
        running = post_images(site, IMAGES)["job"]
        adapted = start_job(site, type="adapt", image_set=running["image_set"], model="tiny")
        for job_id in (running["id"], adapted["id"]):
            body = {"type": "refine", "labels": {"job": job_id}}
            answer = site.client.post("/v1/jobs", json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
        with site.catalog.write() as session:
            session.execute(update(JobRow).values(status="cancelled", phase="done"))
        body = {"type": "refine", "labels": {"job": adapted["id"]}}
        assert site.client.post("/v1/jobs", json=body).status_code == 409
