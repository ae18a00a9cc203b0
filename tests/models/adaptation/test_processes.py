"""Several processes do what one does with a larger batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.adaptation.processes import any_of_all, mean_over_all, summed
from tests.models.adaptation.run_folders import ROOT


def test_alone_nothing_is_said():
    values = torch.tensor([1.0, 2.0])
    assert summed(values).equal(values)
    assert any_of_all(True)
    assert not any_of_all(False)


def test_a_mean_of_nothing_is_zero_with_a_gradient_of_zero():
    total = torch.zeros((), requires_grad=True)
    mean = mean_over_all(total, torch.tensor(0))
    mean.backward()  # type: ignore[no-untyped-call]
    assert mean == 0
    assert total.grad is not None
    assert total.grad.isfinite()
    assert mean_over_all(torch.tensor(1.0), torch.tensor(0.5)) == 2


@pytest.mark.faults
def test_two_processes_lose_what_one_does_with_the_doubled_batch(tmp_path):
    alone = _start(tmp_path / "alone.json", 4)
    assert alone.wait(240) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    both = [
        _start(tmp_path / "both.json", 2, RANK=str(rank), WORLD_SIZE="2", **address)
        for rank in (0, 1)
    ]
    assert [process.wait(240) for process in both] == [0, 0]
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("alone", "both"))
    for expected, found in zip(one["losses"], two["losses"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert two["weights"] == pytest.approx(one["weights"], abs=1e-4)


def _start(out: Path, batch_size: int, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.models.adaptation.train_together", out, str(batch_size)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )
