"""A run in this process: how each end is told."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import models.adaptation.runs as runs
from models.adaptation.checkpoints import FOLDER
from models.adaptation.progress import Progress
from models.adaptation.runs import DISK_FULL, DONE, REFUSED, STOPPED, Run
from models.adaptation.training import NotFinite, TrainingState
from models.segmentation.loading import load_model
from tests.models.adaptation.run_folders import write_run
from tests.models.adaptation.toys import CPU, QUICK, target
from tests.models.tiny_huggingface import tiny


def run(folder: Path, stop: bool = False) -> int:
    return Run(folder, CPU, lambda: stop).run()


def error(folder: Path) -> tuple[str, int]:
    document = json.loads((folder / "error.json").read_text())
    return document["code"], document["step"]


@pytest.mark.parametrize("setting", ["source_free", "black_box"])
def test_without_source_a_run_learns_of_the_target_alone(tmp_path, setting):
    assert run(write_run(tmp_path, setting=setting)) == DONE
    line = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    assert set(line["losses"]) == {"mixed", "consistency", "total"}


def test_asked_to_stop_before_the_first_step_it_stops(tmp_path):
    assert run(write_run(tmp_path), stop=True) == STOPPED
    assert not (tmp_path / "result.json").exists()


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_and_names_the_step(tmp_path, monkeypatch):
    write_run(tmp_path, recipe=replace(QUICK, checkpoint_every_steps=1))
    train_step = TrainingState.train_step

    def breaks(self, batches, step):
        if step == 2:
            raise NotFinite(step, ["mixed"])
        return train_step(self, batches, step)

    monkeypatch.setattr(TrainingState, "train_step", breaks)
    assert run(tmp_path) == REFUSED
    assert error(tmp_path) == ("nan-loss", 2)
    assert (tmp_path / FOLDER / "step-00000002").is_dir()


def test_a_disk_that_fills_in_a_checkpoint(tmp_path, monkeypatch):
    write_run(tmp_path, recipe=replace(QUICK, checkpoint_every_steps=1))
    flush = os.fsync

    def full(handle: int) -> None:
        if "step-00000002" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert run(tmp_path) == DISK_FULL
    assert error(tmp_path) == ("disk-full", 2)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["step-00000001"]


def test_a_disk_that_fills_with_the_progress(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Progress, "report", full)
    assert run(write_run(tmp_path)) == DISK_FULL
    assert error(tmp_path)[0] == "disk-full"


def test_a_disk_that_fills_with_the_result(tmp_path, monkeypatch):
    def full(model, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "save_model", full)
        assert run(write_run(tmp_path)) == DISK_FULL
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "error.json").exists()
    assert run(tmp_path) == DONE
    assert not (tmp_path / "error.json").exists()


def test_an_exported_program_is_of_the_wrong_architecture(tmp_path):
    write_run(tmp_path)
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    assert run(tmp_path) == REFUSED
    assert error(tmp_path) == ("wrong-architecture", 0)


def test_an_unknown_term_is_a_wrong_specification(tmp_path):
    assert (
        run(write_run(tmp_path, recipe=replace(QUICK, terms={"magic": {"weight": 1}}))) == REFUSED
    )
    assert error(tmp_path)[0] == "bad-spec"


def test_a_label_of_other_classes_is_named(tmp_path):
    wrong = [replace(sample, label=np.full_like(sample.label, 7)) for sample in target(2)]
    assert run(write_run(tmp_path, samples=wrong)) == REFUSED
    assert error(tmp_path)[0] == "ontology-mismatch"


def test_a_segformer_folder_is_adapted_and_written_back(tmp_path):
    write_run(tmp_path, setting="source_free", recipe=replace(QUICK, crop_hw=(32, 32)), steps=2)
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    tiny("segformer").save_pretrained(tmp_path / "model")
    before = load_model(tmp_path / "model", "cpu")
    assert run(tmp_path) == DONE
    after = load_model(tmp_path / "result/model", "cpu")
    assert after.ontology == before.ontology
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert not before.forward(image).logits.equal(after.forward(image).logits)
