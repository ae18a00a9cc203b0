"""Training jobs, with a process that keeps the contract and trains nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmentation.loading import check_model
from tests.support.api import (
    classes_json,
    get_job,
    index_png,
    nonzero,
    post_annotations,
    post_set,
)
from tests.support.installation import Installation
from tests.support.source_labels import post_source
from tests.support.trainings import (
    SOURCE,
    freeze,
    start_training,
    train,
    trained_on_source,
)
from workers.training import result
from workers.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("quick")
here = pytest.mark.usefixtures("checked_here")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.training.chunk.FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("workers.training.chunk.POLL_SECONDS", 0.02)


@pytest.fixture
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are loaded in this process, which has torch loaded already."""

    def loaded(_runtime: Any, run: RunFolder, _tick: Any) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(json.dumps(check_model(run.result_model, "cpu")))
        return facts

    monkeypatch.setattr(result, "_loaded", loaded)


def version(site: Installation, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.client.get(f"/v1/models/tiny/versions/{number}").json()
    return found


def left_behind(site: Installation, job: dict[str, Any]) -> list[str]:
    """What a training leaves in the store and on the disk."""
    folder = f"checkpoints/{job['id']}"
    kept = [found.key for found in site.objects.list(folder)]
    if site.training.run_folder(job["id"]).path.exists():
        kept.append("run folder")
    return kept


@here
def test_a_new_version_comes_out(both_site: Installation) -> None:
    site = both_site
    job = trained_on_source(site, seed=3, promote=True)
    assert job["status"] == "succeeded", job["error"]
    assert nonzero(job["counts"]) == {"total": 1, "succeeded": 1}
    result = job["result"]
    assert (result["model"], result["parent"], result["steps"]) == ("tiny:2", "tiny:1", 10)
    assert result["images"] == {"source": 3, "target": 4, "left_out": 0}
    assert result["figures"]["pseudo_iou"] == {"road": 0.5, "sky": 0.25}
    made = version(site, 2)
    assert made["status"] == "ready"
    assert site.client.get("/v1/models/tiny").json()["current_version"] == 2
    provenance = made["provenance"]
    assert (provenance["source"], provenance["parent"], provenance["seed"]) == (
        "train",
        "tiny:1",
        3,
    )
    assert provenance["label_set"].startswith("lbs_")
    assert provenance["recipe"]["checkpoint_every_steps"] == 4
    assert left_behind(site, job) == []


@here
def test_how_it_goes_is_told(tiny_site: Installation) -> None:
    job = train(tiny_site)
    told = job["training"]
    assert (told["stage"], told["step"], told["steps"]) == ("done", 10, 10)
    assert told["losses"]["source"] == pytest.approx(1 / 11)
    assert told["figures"]["pseudo_iou"] == {"road": 0.5, "sky": 0.25}
    assert (told["images_per_second"], told["memory_bytes"]) == (8.0, 1000.0)
    assert (job["progress"]["step"], job["progress"]["step_fraction"]) == ("done", 1.0)
    events = tiny_site.client.get(f"/v1/jobs/{job['id']}/events", params={"types": "job.done"})
    (data,) = [line for line in events.text.splitlines() if line.startswith("data:")]
    assert json.loads(data.removeprefix("data:"))["training"]["step"] == 10


def test_without_source(tiny_site: Installation) -> None:
    job = train(tiny_site)
    assert job["status"] == "succeeded", job["error"]
    assert job["image_set"] is None
    assert job["result"]["images"] == {"source": 0, "target": 4, "left_out": 0}


@here
def test_the_same_again_is_the_same_version(tiny_site: Installation) -> None:
    label_set = freeze(tiny_site)
    first, second = (train(tiny_site, label_set=label_set)["result"]["model"] for _ in range(2))
    other = train(tiny_site, label_set=label_set, seed=1)["result"]["model"]
    assert (first, second, other) == ("tiny:2", "tiny:2", "tiny:3")


@here
def test_a_process_that_dies_goes_on_from_its_checkpoint(tiny_site: Installation) -> None:
    label_set = freeze(tiny_site)
    calm = train(tiny_site, label_set=label_set)
    orders = {"at": {"6": {"do": "die"}, "9": {"do": "die", "times": 2}}}
    disturbed = train(tiny_site, label_set=label_set, orders=orders)
    assert disturbed["status"] == "succeeded", disturbed["error"]
    assert disturbed["result"]["model"] == calm["result"]["model"]  # the same bytes


def test_a_process_that_always_dies(tiny_site: Installation) -> None:
    job = train(tiny_site, orders={"at": {"6": {"do": "die", "times": 99}}})
    assert (job["status"], job["error"]["code"]) == ("failed", "worker-lost")
    assert "died 3 times" in job["error"]["detail"]
    assert left_behind(tiny_site, job) == []
    assert version(tiny_site, 2)["status"] == 404


@here
def test_a_process_that_hangs_is_killed(sqlite_site: Installation, tmp_path: Any) -> None:
    site = sqlite_site
    site.add_tiny_model(tmp_path / "tiny")
    object.__setattr__(site.settings, "training_silent_seconds", 2.0)
    job = train(site, orders={"at": {"6": {"do": "hang"}}})
    assert job["status"] == "succeeded", job["error"]


@pytest.mark.parametrize(
    "code",
    ["nan-loss", "bad-spec", "no-kept-labels", "ontology-mismatch", "wrong-architecture"],
)
def test_a_process_that_gives_up(tiny_site: Installation, code: str) -> None:
    job = train(tiny_site, orders={"at": {"6": {"do": "give-up", "code": code}}})
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert job["error"]["detail"] == f"The stand-in says {code}. (step 6)"
    assert job["result"] is None
    assert left_behind(tiny_site, job) == []


def test_a_reason_that_nobody_knows(tiny_site: Installation) -> None:
    job = train(tiny_site, orders={"at": {"0": {"do": "give-up", "code": "../etc"}}})
    assert (job["status"], job["error"]["code"]) == ("failed", "training-failed")


@here
def test_a_full_disk_is_waited_for(tiny_site: Installation) -> None:
    job = train(tiny_site, orders={"at": {"6": {"do": "full"}}})
    assert job["status"] == "succeeded", job["error"]
    job = train(tiny_site, orders={"at": {"6": {"do": "full", "times": 99}}})
    assert (job["status"], job["error"]["code"]) == ("failed", "disk-full")


@here
def test_progress_that_is_no_progress(tiny_site: Installation) -> None:
    job = train(tiny_site, orders={"at": {"9": {"do": "junk"}}})
    assert job["status"] == "succeeded", job["error"]
    assert job["training"]["step"] == 10


def test_a_result_that_cannot_be_loaded(tiny_site: Installation) -> None:
    job = train(tiny_site, orders={"spoil_result": True})
    assert (job["status"], job["error"]["code"]) == ("failed", "model-unusable")
    assert version(tiny_site, 2)["status"] == 404


@here
def test_with_objects_on_s3(s3_site: Installation, tmp_path: Path) -> None:
    s3_site.add_tiny_model(tmp_path / "tiny")
    job = train(s3_site, orders={"at": {"6": {"do": "die"}}})
    assert job["status"] == "succeeded", job["error"]
    assert left_behind(s3_site, job) == []


@here
def test_images_that_were_removed(tiny_site: Installation) -> None:
    site = tiny_site
    label_set = freeze(site)
    entries = site.client.get(f"/v1/label-sets/{label_set}/entries").json()["entries"]
    digests = [entry["image_digest"] for entry in entries]
    site.objects.delete([f"images/{digests[0][:2]}/{digests[0]}"])
    job = train(site, label_set=label_set)
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["images"] == {"source": 0, "target": 3, "left_out": 1}
    site.training.files.clear()  # the copies on the disk outlive the objects
    site.objects.delete([f"images/{digest[:2]}/{digest}" for digest in digests])
    job = train(site, label_set=label_set, seed=1)
    assert (job["status"], job["error"]["code"]) == ("failed", "no-usable-image")


def test_labels_that_were_deleted(tiny_site: Installation) -> None:
    site = tiny_site
    label_set = freeze(site)
    (entry, *_) = site.client.get(f"/v1/label-sets/{label_set}/entries").json()["entries"]
    address = f"/v1/labels/{entry['label_id']}"
    assert site.client.delete(address, params={"force": True}).status_code == 204
    body = {"type": "train", "model": "tiny", "label_set": label_set, "setting": "source_free"}
    answer = site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "labels-missing")


def test_what_it_reads_is_kept(tiny_site: Installation) -> None:
    site = tiny_site
    label_set = freeze(site)
    source = post_source(site, SOURCE)
    job = start_training(site, label_set=label_set, setting="uda", source={"annotations": source})
    for address in (f"/v1/label-sets/{label_set}", f"/v1/annotation-sets/{source}"):
        answer = site.client.delete(address, params={"force": True})
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
        assert answer.json()["errors"][0]["pointer"] == f"/v1/jobs/{job['id']}"


@here
def test_a_retry_of_a_deleted_set(tiny_site: Installation) -> None:
    site = tiny_site
    label_set = freeze(site)
    job = train(site, label_set=label_set, orders={"at": {"0": {"do": "give-up", "code": "x"}}})
    again = site.client.post(f"/v1/jobs/{job['id']}:retry")
    assert again.status_code == 202
    site.settle()
    params = {"force": True}
    assert site.client.delete(f"/v1/label-sets/{label_set}", params=params).status_code == 204
    answer = site.client.post(f"/v1/jobs/{job['id']}:retry")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")


def test_cancelled_before_it_begins(tiny_site: Installation) -> None:
    job = start_training(tiny_site)
    tiny_site.client.post(f"/v1/jobs/{job['id']}:cancel")
    tiny_site.settle()
    assert get_job(tiny_site, job["id"])["status"] == "cancelled"


@pytest.mark.parametrize(
    "body",
    [
        {"setting": "uda"},
        {"setting": "source_free", "source": {"annotations": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G"}},
        {"setting": "other"},
        {"steps": 0},
        {"recipe": {"batch_sise": 4}},
        {"recipe": {"terms": {"x": {"y": "z" * 70_000}}}},
    ],
)
def test_requests_that_make_no_sense(tiny_site: Installation, body: dict[str, Any]) -> None:
    asked = {
        "type": "train",
        "model": "tiny",
        "label_set": "lbs_01J9Z3N6V1QG8T2B4C5D6E7F8G",
        "setting": "source_free",
        **body,
    }
    answer = tiny_site.client.post("/v1/jobs", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")


def test_labels_of_another_purpose(tiny_site: Installation) -> None:
    site = tiny_site
    label_set = freeze(site)
    image_set = post_set(site, SOURCE)["id"]
    files = {"s0.png": index_png(np.zeros((48, 64), np.uint8))}
    for purpose in ("initial", "validation", "evaluation"):
        made = post_annotations(site, image_set, files, purpose=purpose).json()["id"]
        body = {
            "type": "train",
            "model": "tiny",
            "label_set": label_set,
            "source": {"annotations": made},
        }
        answer = site.client.post("/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


def test_a_source_of_other_classes(tiny_site: Installation) -> None:
    site = tiny_site
    image_set = post_set(site, SOURCE)["id"]
    files = {"s0.png": index_png(np.zeros((48, 64), np.uint8))}
    others = classes_json(("road", "car", "sky"))
    made = post_annotations(site, image_set, files, purpose="source", classes=others).json()["id"]
    body = {
        "type": "train",
        "model": "tiny",
        "label_set": freeze(site),
        "source": {"annotations": made},
    }
    answer = site.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "ontology-mismatch")


def test_data_that_is_too_large(tiny_site: Installation) -> None:
    site = tiny_site
    site.training.files._max_bytes = 1000
    object.__setattr__(site.settings, "training_cache_max_bytes", 1000)
    job = train(site)
    assert (job["status"], job["error"]["code"]) == ("failed", "training-data-too-large")
