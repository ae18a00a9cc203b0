from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.adaptation.prototypes_term import TRANSLATED, Prototypes
from models.adaptation.training import TrainingState
from tests.models.adaptation.steps import STEPS, one_step, term, train
from tests.models.adaptation.toys import QUICK, compact


def built(**settings: Any) -> Prototypes:
    made = term("prototypes", **settings)
    assert isinstance(made, Prototypes)
    return made


def with_bank(**settings: Any) -> Prototypes:
    """With prototypes as after some steps."""
    made = built(**settings)
    drawn = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    made.bank.update(drawn, torch.ones(3))
    return made


def style_weights(made: Prototypes) -> Tensor:
    assert made.style is not None
    return torch.cat([p.detach().flatten() for p in made.style.parameters()])


def test_prototypes_are_of_source_pixels_first_and_of_both_domains_later():
    def after(step: int, change: bool) -> Tensor:
        made = built(source_share=0.5)
        outputs = one_step([made], step=step).outputs
        if change:
            # Other classes in all pixels of the target.
            mixed = outputs.mixed
            labels = torch.where(mixed.pasted, mixed.labels, (mixed.labels + 1) % 3)
            outputs = replace(outputs, mixed=replace(mixed, labels=labels))
        made.after_step(outputs)
        assert made.bank.seen.any()
        norms = made.bank.vectors[made.bank.seen].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))
        return made.bank.vectors

    assert torch.equal(after(0, change=False), after(0, change=True))
    assert not torch.equal(after(STEPS - 1, change=False), after(STEPS - 1, change=True))


def test_consistency_teaches_generator_and_embedding_and_nobody_else():
    made = with_bank()
    assert made.style is not None
    with torch.no_grad():
        made.style.embedding.weight[0, 1] = 1
    state = TrainingState(compact(), [made], QUICK, STEPS, 0)
    found = one_step([made], state=state)
    assert made._translation is not None
    loss = made._consistency(found.outputs, made.style, made._translation)
    assert loss > 0
    torch.autograd.backward(loss, retain_graph=True)
    moved = {name for name, p in made.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[1] for name in moved} == {"generator", "embedding"}
    for model in (state.student, state.teacher):
        assert all(p.grad is None for p in model.module.parameters())


def test_what_the_segmenter_learns_of_translations_does_not_reach_the_generator():
    made = with_bank(consistency_weight=0.0, style_weight=1e-6)
    found = one_step([made])
    look = found.outputs.extra[TRANSLATED]
    assert made.style is not None
    torch.autograd.backward(look.logits.sum())
    assert all(p.grad is None for p in made.style.parameters())
    assert found.outputs.extra_images[TRANSLATED].grad is not None


def test_the_style_module_is_frozen_in_the_second_stage():
    state, reports = train({"prototypes": {"first_stage": 0.25}}, steps=8)
    made = state.terms[0]
    assert isinstance(made, Prototypes)
    with_style = ["prototypes_discriminator" in report.figures for report in reports]
    assert with_style == [True, True] + [False] * 6
    assert "prototypes_consistency" not in reports[-1].figures
    short, _ = train({"prototypes": {"first_stage": 0.25}}, steps=8)
    other = short.terms[0]
    assert isinstance(other, Prototypes)
    before = style_weights(built())
    assert not torch.equal(style_weights(made), before)
    drawn = one_step([made], step=7, state=state)
    torch.autograd.backward(drawn.total)
    made.after_backward(drawn.outputs)
    assert made.style is not None
    assert all(p.grad is None for p in made.style.parameters())
    assert torch.equal(style_weights(made), style_weights(other))


@pytest.mark.parametrize("setting", ["source_free", "black_box"])
def test_without_source_there_are_prototypes_and_no_style(setting):
    state, reports = train({"prototypes": {}}, setting, steps=4)
    made = state.terms[0]
    assert isinstance(made, Prototypes)
    assert made.style is None
    assert made.own_optimizers() == {}
    assert made.bank.seen.any()
    assert set(reports[-1].figures) == {"prototypes_contrast_mixed", "prototypes_seen"}


def test_the_regulariser_is_off_until_it_is_asked_for():
    _, reports = train({"prototypes": {"style_weight": 0.0}}, steps=2)
    assert "prototypes_regulariser" not in reports[-1].figures
    _, reports = train({"prototypes": {"style_weight": 0.0, "regulariser_weight": -0.1}}, steps=2)
    assert reports[-1].figures["prototypes_regulariser"] < -0.9


def test_pixels_find_their_prototypes():
    _, reports = train({"prototypes": {"contrast_weight": 1.0, "style_weight": 0.0}}, steps=40)
    losses = [report.figures["prototypes_contrast_source"] for report in reports]
    assert sum(losses[-8:]) < 0.8 * sum(losses[2:10])
