"""Labelling a chunk: the bytes that are stored, what is reused, and how much is in memory."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api_schemas.problems import StorageUnavailable
from domain.leases import LeaseLost
from formats.index_png import encode_confidence_png, encode_label_png
from models.config import PipelineConfig
from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from models.prediction import Prediction
from models.segmentation.loading import load_model
from tests.support.api import get_items, get_job, get_png, label_bytes, nonzero, post_images
from tests.support.images import image_array, png_bytes
from tests.support.installation import ALL_HANDLERS, Installation
from tests.support.rows import assert_consistent
from tests.support.tiny_model import TINY_ONTOLOGY
from workers.artefacts import put_label
from workers.label import STORES_IN_FLIGHT
from workers.run_chunk import run_chunk

IMAGES = {f"{i}.png": png_bytes(i) for i in range(4)}
PALETTE = [c.color for c in TINY_ONTOLOGY.classes]


@pytest.fixture
def tiny_site(sqlite_site: Installation, tmp_path: Path) -> Installation:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    return sqlite_site


class TestArtefacts:
    def test_bytes_are_those_of_the_label_path(
        self, tiny_site: Installation, tmp_path: Path
    ) -> None:
        document = {"select": {"thresholds": 0.5}, "keep_stages": True}
        job_id = post_images(tiny_site, IMAGES, pipeline=document)["job"]["id"]
        tiny_site.settle()
        pipeline = LabelPipeline(
            load_model(tmp_path / "tiny", "cpu"), PipelineConfig.from_dict(document)
        )
        stored = label_bytes(tiny_site, job_id)
        for i, (name, item) in enumerate(get_items(tiny_site, job_id).items()):
            (maps,) = pipeline.label([image_array(i)])
            assert stored[name] == (
                encode_label_png(maps.label, PALETTE),
                encode_confidence_png(maps.confidence),
            )
            for stage in ("predict", "select"):
                found = get_png(tiny_site, item["label_id"], f"stages/{stage}.png")
                np.testing.assert_array_equal(found, maps.stages[stage])
            record = tiny_site.client.get(f"/v1/labels/{item['label_id']}").json()
            assert record["coverage"] == maps.summary["coverage"]
            assert record["class_pixels"] == {
                str(k): v for k, v in maps.summary["class_pixels"].items()
            }

    def test_a_second_job_reuses_labels(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        monkeypatch.setattr(LabelPipeline, "look", lambda *_: pytest.fail("labelled again"))
        second = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        assert get_job(tiny_site, second)["status"] == "succeeded"
        assert {n: i["label_id"] for n, i in get_items(tiny_site, second).items()} == {
            n: i["label_id"] for n, i in get_items(tiny_site, first).items()
        }


class TestFailures:
    def test_a_stage_that_fails_on_one_image(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = LabelPipeline.look
        bad = image_array(2)

        def fail_on_one(pipeline: LabelPipeline, images: list[np.ndarray]) -> list[Prediction]:
            if any(np.array_equal(image, bad) for image in images):
                raise RuntimeError("secret of the stack")
            return look(pipeline, images)

        monkeypatch.setattr(LabelPipeline, "look", fail_on_one)
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        job = get_job(tiny_site, job_id)
        assert nonzero(job["counts"]) == {"total": 4, "succeeded": 3, "failed": 1}
        assert job["stages"] == [{"name": "predict", "done": 3, "failed": 1}]
        error = get_items(tiny_site, job_id)["2.png"]["error"]
        assert error["code"] == "stage-failed"
        assert "secret" not in error["detail"]

    def test_the_store_fails_and_comes_back(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.run_chunk.STORE_PAUSE_SECONDS", 0.0)
        failures = [1, 1]

        def fail_twice(*args: Any, **kw: Any) -> dict[str, Any]:
            if failures:
                failures.pop()
                raise StorageUnavailable("The disk is full.")
            return put_label(*args, **kw)

        monkeypatch.setattr("workers.label.put_label", fail_twice)
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        assert get_job(tiny_site, job_id)["status"] == "succeeded"
        assert_consistent(tiny_site.catalog, job_id)

    def test_a_damaged_model_ends_the_job(self, tiny_site: Installation, tmp_path: Path) -> None:
        for path in (tmp_path / "data/objects/models").rglob("*.safetensors"):
            path.write_bytes(b"damaged")
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.settle()
        job = get_job(tiny_site, job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "model-unusable")
        assert nonzero(job["counts"]) == {"total": 4, "cancelled": 4}

    def test_draining_gives_the_rest_back(self, tiny_site: Installation) -> None:
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.scheduler.turn()
        tiny_site.runtime.draining.set()
        run_chunk(tiny_site.runtime, ALL_HANDLERS, tiny_site.queue.sent[0])
        job = assert_consistent(tiny_site.catalog, job_id)
        assert job.queued == 4
        tiny_site.runtime.draining.clear()
        run_chunk(tiny_site.runtime, ALL_HANDLERS, tiny_site.queue.sent.pop(0))
        tiny_site.settle()
        assert get_job(tiny_site, job_id)["status"] == "succeeded"

    def test_a_lost_lease_is_dropped(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lost(*_: object) -> None:
            raise LeaseLost("gone")

        monkeypatch.setattr("workers.committing.commit", lost)
        job_id = post_images(tiny_site, IMAGES)["job"]["id"]
        tiny_site.scheduler.turn()
        run_chunk(
            tiny_site.runtime, ALL_HANDLERS, tiny_site.queue.sent.pop(0)
        )  # no error, nothing written
        assert assert_consistent(tiny_site.catalog, job_id).running == 4


class TestBoundedMemory:
    def test_few_images_and_labels_live_at_a_time(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finish, most = LabelPipeline.finish, 0
        alive: weakref.WeakSet[LabelMaps] = weakref.WeakSet()

        class Holder(LabelMaps):
            __hash__ = object.__hash__

        def counted(pipeline: LabelPipeline, prediction: Prediction) -> LabelMaps:
            nonlocal most
            maps = finish(pipeline, prediction)
            held = Holder(maps.label, maps.confidence, maps.stages, maps.summary)
            alive.add(held)
            most = max(most, len(alive))
            return held

        monkeypatch.setattr(LabelPipeline, "finish", counted)
        monkeypatch.setattr("domain.dispatch.FIRST_CHUNK_IMAGES", 40)
        files = {f"{i}.png": png_bytes(i, 4, 4) for i in range(40)}
        job_id = post_images(tiny_site, files)["job"]["id"]
        tiny_site.settle()
        assert get_job(tiny_site, job_id)["status"] == "succeeded"
        # those on their way to the store, the one just made, and one in each pair of hands between
        assert 1 <= most <= STORES_IN_FLIGHT + 4
