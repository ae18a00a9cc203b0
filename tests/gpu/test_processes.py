"""What training processes tell each other, over the channel of the device."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from models.adaptation import processes
from tests.gpu.device import DEVICE, MARKS

pytestmark = MARKS


@pytest.fixture
def group_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A group that holds this process alone, and takes itself for two."""
    if DEVICE.type == "cuda":
        torch.cuda.set_device(0)
    backend = "nccl" if DEVICE.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    monkeypatch.setattr(processes, "process_count", lambda: 2)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group_of_one")
def test_sums_and_answers_arrive():
    shares = torch.tensor([1.0, 2.5], dtype=torch.float64, device=DEVICE)
    assert processes.summed(shares).tolist() == [1.0, 2.5]
    assert [processes.any_of_all(here) for here in (True, False)] == [True, False]
    layer = torch.nn.Linear(3, 2).to(DEVICE)
    layer(torch.ones(4, 3, device=DEVICE)).sum().backward()
    assert layer.weight.grad is not None
    before = layer.weight.grad.clone()
    processes.add_up_gradients(layer.parameters())
    assert torch.equal(layer.weight.grad, before)
    processes.add_up([layer.weight.grad], 0.5)
    assert torch.equal(layer.weight.grad, before / 2)
