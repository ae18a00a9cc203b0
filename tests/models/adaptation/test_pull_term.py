import pytest
import torch
from torch import Tensor

from models.adaptation.pull_term import Pull
from models.adaptation.step import StepLosses
from models.errors import ConfigError
from tests.models.adaptation.steps import one_step, term, train


def slopes(found: StepLosses, pull: Pull) -> tuple[Tensor, Tensor]:
    """Gradients in the features of styled and of source images."""
    outputs = found.outputs
    assert outputs.student_source is not None
    ((_, styled),) = outputs.extra.items()
    features = [styled.features, outputs.student_source.features]
    loss = pull(outputs).loss
    found_slopes = torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)
    of_styled, of_source = (
        torch.zeros_like(f) if s is None else s for f, s in zip(features, found_slopes, strict=True)
    )
    return of_styled, of_source


@pytest.mark.parametrize("keys", ["student", "teacher"])
@pytest.mark.parametrize(
    ("direction", "styled_moves", "source_moves"),
    [("target_to_source", True, False), ("source_to_target", False, True), ("both", True, True)],
)
def test_only_one_side_moves(keys, direction, styled_moves, source_moves):
    pull = term("pull", direction=direction, keys=keys)
    assert isinstance(pull, Pull)
    of_styled, of_source = slopes(one_step([pull]), pull)
    assert bool(of_styled.any()) is styled_moves
    assert bool(of_source.any()) is source_moves


def test_confidences_are_of_source_and_target():
    pull = term("pull")
    assert isinstance(pull, Pull)
    found = one_step([pull])
    assert not pull.bank.confidence.any()
    pull.after_step(found.outputs)
    assert ((pull.bank.confidence > 1 / 3) & (pull.bank.confidence < 1)).all()
    assert pull.bank.updates.tolist() == [1, 1, 1]


def test_unknown_choices_are_refused():
    for settings in ({"direction": "up"}, {"keys": "mine"}, {"positives": 3}, {"engine": "x"}):
        with pytest.raises(ConfigError):
            term("pull", **settings)
    with pytest.raises(ConfigError, match="temperature"):
        term("pull", temperature=0)


def test_target_like_features_come_nearer_to_their_class():
    """Against the same run without the loss."""

    def alignment(weight: float) -> float:
        state, reports = train({"style_ce": {}, "pull": {"weight": weight}}, steps=40)
        outputs = reports[-1].outputs
        assert outputs.inputs.source is not None
        assert outputs.student_source is not None
        ((_, styled),) = outputs.extra.items()
        pull = state.terms[1]
        assert isinstance(pull, Pull)
        return float(pull(outputs).loss.detach())

    assert alignment(2.0) < alignment(1e-6)
