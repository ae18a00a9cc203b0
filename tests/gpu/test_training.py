"""Self-training with every term: a GPU learns what a CPU learns, and goes on where one stopped."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.adaptation.adapt import Adapted, adapt, prepared_state
from models.adaptation.checkpoints import load_checkpoint, save_checkpoint
from models.adaptation.registry import TERM_KINDS
from models.adaptation.training import TrainingState
from tests.gpu.device import CPU, DEVICE, MARKS, demo_model, scene
from tests.gpu.training_toys import RECIPE, SIZE_HW, batches, source_samples, target_samples

pytestmark = MARKS

STEPS = 5

Losses = list[dict[str, float]]


def adapted(device: torch.device) -> tuple[Adapted, Losses]:
    losses: Losses = []
    result = adapt(
        demo_model(device),
        source_samples(),
        target_samples(),
        RECIPE,
        steps=STEPS,
        seed=0,
        after_step=lambda step, report: losses.append(dict(report.losses)),
    )
    return result, losses


def fresh(device: torch.device) -> TrainingState:
    return prepared_state(demo_model(device), "uda", target_samples(), RECIPE, STEPS, 0)


def go_on(state: TrainingState, device: torch.device, first: int, last: int) -> Losses:
    drawn = batches(device)
    return [dict(state.train_step(drawn, step).losses) for step in range(first, last)]


def check_near(one: Losses, other: Losses, relative: float, absolute: float) -> None:
    for step, (a, b) in enumerate(zip(one, other, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=relative, abs=absolute), (step, name)


def test_losses_are_finite_and_near_those_of_a_cpu():
    here, there = adapted(CPU)[1], adapted(DEVICE)[1]
    assert set(there[0]) >= set(TERM_KINDS)
    assert all(np.isfinite(list(step.values())).all() for step in there)
    for step, (a, b) in enumerate(zip(here, there, strict=True)):
        print(step, {name: (round(a[name], 5), round(b[name], 5)) for name in a})
    # The first step has the same weights; then AdamW turns the smallest gradients into full steps.
    check_near(here[:1], there[:1], relative=0.01, absolute=2e-3)
    check_near(here, there, relative=0.15, absolute=0.02)


def test_the_model_that_comes_of_it_labels_on_its_device():
    result, _ = adapted(DEVICE)
    assert result.model.device.type == DEVICE.type
    assert result.parts.rectifier is not None
    image = torch.from_numpy(scene(0, size_hw=SIZE_HW).image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        logits = result.model.forward(image.to(DEVICE)).logits
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("device", sorted({str(DEVICE), "cpu"}))
def test_a_checkpoint_goes_on_there_and_on_a_cpu(tmp_path: Path, device: str):
    undisturbed = go_on(fresh(DEVICE), DEVICE, 0, STEPS)
    state = fresh(DEVICE)
    go_on(state, DEVICE, 0, 3)
    save_checkpoint(tmp_path, state, 3, "a")
    resumed = fresh(torch.device(device))
    assert load_checkpoint(tmp_path, resumed, "a") == 3
    check_near(
        undisturbed[3:],
        go_on(resumed, torch.device(device), 3, STEPS),
        relative=0.1,
        absolute=0.02,
    )
