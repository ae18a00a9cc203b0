"""kill -9 of each process of a training, cancel, loss of the broker: the bytes stay the same."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.running import Running, wait_until
from tests.support.images import png_bytes

TRAINER = "tests.support.stand_in_trainer"
STEPS = 40


@dataclass(frozen=True)
class Trainings:
    """A label set on an installation, and what an undisturbed training on it gives."""

    running: Running
    label_set: str

    def start(self, hold_at: int | None = None, **orders: Any) -> str:
        """Start a training, whose first process stops at a step and waits for what comes."""
        if hold_at is not None:
            orders["at"] = {str(hold_at): {"do": "hold"}}
        body = {
            "type": "train",
            "model": "tiny",
            "label_set": self.label_set,
            "setting": "source_free",
            "recipe": {"checkpoint_every_steps": 10, "terms": {"stand_in": orders}},
            "steps": STEPS,
        }
        answer = self.running.call("POST", "/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def let_go(self, job_id: str) -> None:
        (_run_folder(self.running, job_id) / "go").touch()

    def wait_for_step(self, job_id: str, step: int) -> None:
        def reached() -> bool:
            training = self.running.job(job_id)["training"] or {}
            return bool((training.get("step") or 0) >= step)

        wait_until(reached, 90, f"step {step}\n{self.running.log()[-3000:]}")
        assert not self.running.job(job_id)["done"], "the job was over before the fault"

    def done(self, job_id: str) -> dict[str, Any]:
        return self.running.wait_done(job_id, 180)


@pytest.fixture(scope="module")
def trainings(running: Running) -> Trainings:
    files = {f"t{i}.png": png_bytes(500 + i, 48, 64) for i in range(3)}
    job_id = running.submit(files, seed=900_001)
    assert running.wait_done(job_id)["status"] == "succeeded"
    answer = running.call("POST", "/v1/label-sets", json={"jobs": [job_id]})
    assert answer.status_code == 201, answer.text
    return Trainings(running, answer.json()["id"])


@pytest.fixture(scope="module")
def calm(trainings: Trainings) -> str:
    """The model version of an undisturbed training."""
    done = trainings.done(trainings.start())
    assert done["status"] == "succeeded", done
    return str(done["result"]["model"])


@pytest.fixture(autouse=True)
def nothing_is_left(running: Running) -> Iterator[None]:
    yield
    wait_until(lambda: not running.processes(TRAINER), 20, "no process trains any more")


@pytest.mark.parametrize(
    "marker",
    [
        TRAINER,
        "workers.training_child",
        pytest.param("--queue training", marks=pytest.mark.slow),
    ],
)
def test_kill_9_of_a_process(trainings: Trainings, calm: str, marker: str) -> None:
    job_id = trainings.start(hold_at=15)
    trainings.wait_for_step(job_id, 15)
    trainings.running.kill(marker)
    done = trainings.done(job_id)
    assert done["status"] == "succeeded", done
    assert done["result"]["model"] == calm  # the same bytes are the same version
    counts = done["counts"]
    assert (counts["succeeded"], counts["total"]) == (1, 1)


def test_kill_9_of_all_of_them_and_of_the_run_folder(trainings: Trainings, calm: str) -> None:
    """As if another machine went on: nothing but catalog and object store is left."""
    running = trainings.running
    job_id = trainings.start(hold_at=25)
    trainings.wait_for_step(job_id, 25)
    wait_until(lambda: 20 in _stored_steps(running, job_id), 30, "the checkpoint is stored")
    before = len(running.log())
    (parent,) = running.processes("--queue training")
    for process in [parent, *parent.children(recursive=True)]:
        process.kill()
    folder = running.data_dir / "training"
    folder.rename(folder.with_name("training-of-another-machine"))
    wait_until(lambda: _run_folder(running, job_id).exists(), 90, "another folder")
    trainings.let_go(job_id)
    done = trainings.done(job_id)
    assert done["status"] == "succeeded", done
    assert done["result"]["model"] == calm
    started = [x for x in running.log()[before:].splitlines() if "training started" in x]
    assert [line.endswith("step=20") for line in started] == [True]


@pytest.mark.parametrize("orders", [{}, {"ignore_stop": True}], ids=["obeys", "ignores SIGTERM"])
def test_a_cancel_ends_it_within_ten_seconds(trainings: Trainings, orders: dict[str, Any]) -> None:
    running = trainings.running
    job_id = trainings.start(hold_at=5, **orders)
    trainings.wait_for_step(job_id, 5)
    before = len(running.log())
    asked_at = time.monotonic()
    assert running.call("POST", f"/v1/jobs/{job_id}:cancel").status_code in (200, 202)
    wait_until(lambda: not running.processes(TRAINER), 10, "the process is gone")
    wait_until(lambda: running.job(job_id)["done"], 5, "the job is over")
    assert time.monotonic() - asked_at < 12
    assert running.job(job_id)["status"] == "cancelled"
    wait_until(lambda: not _run_folder(running, job_id).exists(), 10, "its folder is gone")
    assert "shows no progress" not in running.log()[before:]  # waiting for it is work


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_leaves_a_checkpoint(trainings: Trainings, calm: str) -> None:
    running = trainings.running
    job_id = trainings.start(hold_at=15)
    trainings.wait_for_step(job_id, 15)
    (parent,) = running.processes("--queue training")
    parent.terminate()
    assert trainings.done(job_id)["result"]["model"] == calm


def test_labels_wait_for_a_training(trainings: Trainings) -> None:
    """The label worker makes room on the device, and works again afterwards.

    That the scheduler dies meanwhile changes nothing.
    """
    running = trainings.running
    job_id = trainings.start(hold_at=1)
    trainings.wait_for_step(job_id, 1)
    files = {f"w{i}.png": png_bytes(700 + i, 48, 64) for i in range(2)}
    labelling = running.submit(files, seed=900_002)
    running.kill("workers.scheduler")
    time.sleep(3.0)
    assert running.job(labelling)["counts"]["succeeded"] == 0
    trainings.let_go(job_id)
    assert trainings.done(job_id)["status"] == "succeeded"
    assert running.wait_done(labelling)["status"] == "succeeded"


@pytest.mark.slow
def test_a_frozen_supervisor_is_replaced(trainings: Trainings, calm: str) -> None:
    """Its process goes with it: two never train in one folder."""
    running = trainings.running
    job_id = trainings.start(hold_at=15)
    trainings.wait_for_step(job_id, 15)
    (child,) = running.processes("workers.training_child")
    psutil.Process(child.pid).suspend()
    done = trainings.done(job_id)
    assert done["status"] == "succeeded", done
    assert done["result"]["model"] == calm


def _stored_steps(running: Running, job_id: str) -> list[int]:
    with closing(running.catalog()) as connection:
        found = connection.execute("SELECT result FROM chunk WHERE job_id = ?", [job_id]).fetchone()
    result = json.loads(found[0]) if found and found[0] else {}
    return [one["step"] for one in result.get("checkpoints", [])]


def _run_folder(running: Running, job_id: str) -> Path:
    return running.data_dir / "training" / "runs" / job_id
