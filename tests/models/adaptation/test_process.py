"""The training process itself: started, killed, stopped, refused."""

import json
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from models.segmentation.loading import load_model
from tests.models.adaptation.run_folders import start, wait_for, weights, write_run
from tests.models.adaptation.toys import QUICK, target

pytestmark = pytest.mark.faults
OFTEN = replace(QUICK, checkpoint_every_steps=5)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run"), steps=40, recipe=OFTEN)
    assert start(folder).wait(240) == 0
    return folder


def test_a_run_leaves_a_model_and_tells_of_its_progress(undisturbed):
    result = json.loads((undisturbed / "result.json").read_text())
    model = load_model(undisturbed / result["model"], "cpu")
    assert model.ontology.num_classes == 3
    bundle = json.loads((undisturbed / "result/model/bundle.json").read_text())
    assert bundle["provenance"]["steps"] == 40
    assert bundle["provenance"]["parent"] == {"toy": 0}
    lines = [json.loads(line) for line in (undisturbed / "progress.jsonl").open()]
    assert lines[-1]["step"] == lines[-1]["steps"] == 40
    assert set(lines[-1]["losses"]) == {"source", "mixed", "consistency", "total"}
    assert set(lines[-1]["figures"]["pseudo_iou"]) <= {"red", "green", "blue"}
    assert lines[-1]["images_per_second"] > 0
    assert lines[-1]["memory_bytes"] > 1 << 20
    assert not (undisturbed / "error.json").exists()


def test_a_finished_run_is_not_run_again(undisturbed):
    before = weights(undisturbed)
    (undisturbed / "progress.jsonl").unlink()
    assert start(undisturbed).wait(120) == 0
    assert not (undisturbed / "progress.jsonl").exists()
    assert weights(undisturbed) == before


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder, ignore=_inputs_alone)
    process = start(folder)
    wait_for(folder / "checkpoints" / "step-00000010", process)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    assert not (folder / "result.json").exists()
    assert start(folder).wait(240) == 0
    assert weights(folder) == weights(undisturbed)


def test_a_terminated_run_writes_a_checkpoint_in_time_and_goes_on(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder, ignore=_inputs_alone)
    ended = _seconds_of_children()
    process = start(folder)
    wait_for(folder / "progress.jsonl", process)
    asked = sum(psutil.Process(process.pid).cpu_times()[:2])
    process.terminate()
    assert process.wait(60) == 75
    # Ten seconds are allowed; of processor time, which does not tell how busy the machine is.
    assert _seconds_of_children() - ended - asked < 5
    assert list((folder / "checkpoints").glob("step-*"))
    assert start(folder).wait(240) == 0
    assert weights(folder) == weights(undisturbed)


def _seconds_of_children() -> float:
    """Processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _inputs_alone(folder: str, names: list[str]) -> list[str]:
    made = {"checkpoints", "tensorboard", "progress.jsonl", "result", "result.json", "stderr"}
    return [name for name in names if name in made]


def refused(folder: Path) -> tuple[int, str]:
    status = start(folder).wait(120)
    return status, json.loads((folder / "error.json").read_text())["code"]


def test_without_kept_labels_there_is_nothing_to_learn(tmp_path):
    dropped = [replace(sample, label=np.full_like(sample.label, 255)) for sample in target(2)]
    assert refused(write_run(tmp_path, samples=dropped)) == (65, "no-kept-labels")
