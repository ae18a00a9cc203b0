"""Checkpoints: exact, whole or not at all, the last two kept."""

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import models.adaptation.checkpoints as checkpoints
from models.adaptation.batches import BatchSource
from models.adaptation.checkpoints import load_checkpoint, save_checkpoint
from models.adaptation.errors import DiskFull
from models.adaptation.rare_classes import class_pixels
from models.adaptation.terms import LossTerm, StepOutputs, TermResult
from models.adaptation.training import TrainingState
from tests.models.adaptation.toys import CPU, QUICK, compact, source, target


class Learns(LossTerm):
    """A term with a parameter, a buffer, and a part with an optimiser of its own."""

    name = "learns"
    seen: Tensor

    def __init__(self) -> None:
        super().__init__(0.5)
        self.scale = nn.Parameter(torch.ones(3))
        self.apart = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
        self._optimizer = torch.optim.Adam([self.apart], lr=0.1)

    def forward(self, outputs: StepOutputs) -> TermResult:
        scaled = outputs.student_mixed.logits * self.scale[:, None, None]
        return TermResult((scaled.mean() - 1) ** 2 + 0 * self.apart.sum())

    def after_backward(self, outputs: StepOutputs) -> None:
        self._optimizer.zero_grad()
        (self.apart - outputs.mixed.images.mean()).square().sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def after_step(self, outputs: StepOutputs) -> None:
        self.seen += 1

    def own_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"apart": self._optimizer}


def fresh() -> TrainingState:
    return TrainingState(compact(), [Learns()], QUICK, 6, seed=0)


def train(state: TrainingState, first: int, last: int) -> None:
    batches = BatchSource(source(), target(), QUICK, class_pixels(source(), 3), 0, CPU)
    for step in range(first, last):
        state.train_step(batches, step)


def everything(state: TrainingState) -> dict[str, Tensor]:
    return checkpoints._tensors(state)[0]


def test_a_resumed_run_ends_with_the_same_bytes(tmp_path):
    undisturbed = fresh()
    train(undisturbed, 0, 6)
    state = fresh()
    train(state, 0, 3)
    save_checkpoint(tmp_path, state, 3, "a")
    resumed = fresh()
    assert load_checkpoint(tmp_path, resumed, "a") == 3
    train(resumed, 3, 6)
    expected, found = everything(undisturbed), everything(resumed)
    assert expected.keys() == found.keys()
    assert all(expected[name].equal(found[name]) for name in expected)
    assert any(name.startswith("optimizer/learns/apart") for name in found)
    assert found["term/learns:seen"] == 6


def test_the_last_two_are_kept(tmp_path):
    state = fresh()
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, state, step, "a")
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "no json", "absent"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage):
    state = fresh()
    save_checkpoint(tmp_path, state, 1, "a")
    newest = save_checkpoint(tmp_path, state, 2, "a")
    tensors, document = newest / "state.safetensors", newest / "state.json"
    content = bytearray(tensors.read_bytes())
    if damage == "cut":
        tensors.write_bytes(content[:-1])
    elif damage == "flipped":
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif damage == "no json":
        document.write_text("{")
    else:
        document.unlink()
    assert load_checkpoint(tmp_path, fresh(), "a") == 1


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path):
    save_checkpoint(tmp_path, fresh(), 1, "a")
    assert load_checkpoint(tmp_path, fresh(), "b") == 0
    assert load_checkpoint(tmp_path / "nowhere", fresh(), "a") == 0


def test_a_full_disk_leaves_the_checkpoint_before_it_whole(tmp_path, monkeypatch):
    state = fresh()
    save_checkpoint(tmp_path, state, 1, "a")

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(DiskFull):
        save_checkpoint(tmp_path, state, 2, "a")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert load_checkpoint(tmp_path, fresh(), "a") == 1
