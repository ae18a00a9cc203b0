"""The base step on toys."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.adaptation.batches import BatchSource
from models.adaptation.config import Recipe
from models.adaptation.networks import follow, set_training_mode, teacher_momentum
from models.adaptation.rare_classes import class_pixels
from models.adaptation.terms import LossTerm, StepOutputs, TermResult
from models.adaptation.training import NotFinite, StepReport, TrainingState, rate_factor
from models.segmentation.base import ModuleModel, batch_norms
from tests.models.adaptation.toys import CPU, QUICK, PlainModel, compact, source, target

PIXELS = class_pixels(source(), 3)


def run(
    model: ModuleModel,
    recipe: Recipe = QUICK,
    steps: int = 4,
    *,
    with_source: bool = True,
    samples=None,
    terms: tuple[LossTerm, ...] = (),
) -> tuple[TrainingState, list[StepReport]]:
    state = TrainingState(model, terms, recipe, steps, seed=0)
    samples = samples or target()
    donors = PIXELS if with_source else class_pixels(samples, 3)
    batches = BatchSource(source() if with_source else None, samples, recipe, donors, 0, CPU)
    return state, [state.train_step(batches, step) for step in range(steps)]


@pytest.mark.parametrize(
    ("make", "normalisation", "with_source"),
    [
        (compact, "mixed", True),
        (compact, "separate", True),
        (compact, "frozen", True),
        (PlainModel, "mixed", False),
    ],
)
def test_the_losses_fall(make, normalisation, with_source):
    recipe = replace(QUICK, normalisation=normalisation, labels="frozen")
    _, reports = run(make(), recipe, 30, with_source=with_source)
    names = {"mixed", "consistency", "total"} | ({"source"} if with_source else set())
    assert set(reports[0].losses) == names
    for name in names & {"mixed", "source"}:
        first = sum(r.losses[name] for r in reports[:5])
        assert sum(r.losses[name] for r in reports[-5:]) < 0.9 * first


def test_frozen_statistics_stay_and_others_move():
    def statistics(model: ModuleModel) -> Tensor:
        return torch.cat([b for n, b in model.module.named_buffers() if n.endswith("running_mean")])

    for normalisation, stays in (("frozen", True), ("mixed", False), ("separate", False)):
        model = compact()
        before = statistics(model)
        run(model, replace(QUICK, normalisation=normalisation), 2)
        assert before.equal(statistics(model)) is stays


def test_without_a_kept_pixel_only_consistency_is_left():
    recipe = replace(QUICK, labels="frozen")
    state, reports = run(compact(), recipe, 2, with_source=False, samples=target(kept=-1.0))
    assert [r.losses["mixed"] for r in reports] == [0, 0]
    assert reports[0].losses["consistency"] > 0
    assert all(p.isfinite().all() for p in state.student.module.parameters())


def test_an_ignored_pixel_enters_the_consistency_loss_alone():
    recipe = replace(QUICK, labels="frozen", consistency_weight=0.0)
    _, reports = run(compact(), recipe, 1, with_source=False, samples=target(kept=-1.0))
    assert reports[0].losses == {"mixed": 0, "total": 0}


def test_a_teacher_follows_and_gets_no_gradient():
    state, _ = run(PlainModel(), steps=1)
    for mean, value in zip(
        state.teacher.module.parameters(), state.student.module.parameters(), strict=True
    ):
        assert mean.equal(value)  # the first step counts alone
        assert mean.grad is None
    teacher, student = PlainModel(0).module, PlainModel(1).module
    expected = [
        0.9 * t + 0.1 * s for t, s in zip(teacher.parameters(), student.parameters(), strict=True)
    ]
    follow(teacher, student, 0.9)
    for mean, wanted in zip(teacher.parameters(), expected, strict=True):
        torch.testing.assert_close(mean.detach(), wanted)


def test_momentum_and_rate_have_their_schedules():
    assert [teacher_momentum(step, 0.7) for step in (0, 1, 3, 9)] == [0, 0.5, 0.7, 0.7]
    assert [rate_factor(step, 10, 0.2) for step in (0, 1)] == [0.5, 1.0]
    assert rate_factor(9, 10, 0.2) < 0.05


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not():
    def weights(seed: int) -> Tensor:
        state = TrainingState(compact(), (), QUICK, 2, seed)
        batches = BatchSource(source(), target(), QUICK, PIXELS, seed, CPU)
        for step in range(2):
            state.train_step(batches, step)
        return torch.cat([p.flatten() for p in state.student.module.parameters()])

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))


class Breaks(LossTerm):
    name = "breaks"

    def forward(self, outputs: StepOutputs) -> TermResult:
        loss = outputs.student_mixed.logits.mean() * (float("nan") if outputs.inputs.step else 1.0)
        return TermResult(loss)


def test_a_loss_that_is_not_finite_is_named_and_changes_no_weight():
    state = TrainingState(compact(), [Breaks(1.0)], QUICK, 4, seed=0)
    batches = BatchSource(source(), target(), QUICK, PIXELS, 0, CPU)
    state.train_step(batches, 0)
    before = [p.clone() for p in state.student.module.parameters()]
    with pytest.raises(NotFinite, match="breaks, total is not finite in step 1"):
        state.train_step(batches, 1)
    after = state.student.module.parameters()
    assert all(b.equal(a) for b, a in zip(before, after, strict=True))


def test_a_reviewed_image_without_source_is_pasted_with_certainty():
    reviewed = [replace(sample, reviewed=True) for sample in target(kept=1.0)]
    _, reports = run(compact(), steps=1, with_source=False, samples=reviewed)
    mixed = reports[0].outputs.mixed
    assert mixed.reliability[mixed.kept].eq(1).all()
    assert mixed.pasted.any()


def test_training_mode_freezes_statistics_only_when_asked():
    model = compact()
    set_training_mode(model, "frozen")
    assert model.module.training
    assert not any(layer.training for layer in batch_norms(model.module))
