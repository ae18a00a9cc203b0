"""What holds for every method."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.adaptation.checkpoints import load_checkpoint, save_checkpoint
from models.adaptation.config import Recipe
from models.adaptation.data import TargetSample
from models.adaptation.registry import TERM_KINDS, build_terms
from models.adaptation.training import TrainingState
from models.errors import ConfigError
from tests.models.adaptation.steps import batches, context, train
from tests.models.adaptation.test_connectivity_term import with_rare
from tests.models.adaptation.toys import QUICK, compact, target

SETTINGS = {"rmm": {"points": 32}, "prototypes": {"patches": 16}}
WITHOUT_SOURCE = ("prototypes", "rmm", "connectivity")


def weights(state: TrainingState) -> Tensor:
    modules = [state.student.module, state.teacher.module, *state.terms]
    return torch.cat(
        [v.detach().flatten().double() for m in modules for v in m.state_dict().values()]
    )


def with_labels(change: Callable[[np.ndarray], np.ndarray]) -> Sequence[TargetSample]:
    return [replace(each, label=change(each.label).astype(np.uint8)) for each in target()]


def test_a_method_of_weight_zero_is_not_built_and_changes_no_bit():
    plain, _ = train({}, steps=3)
    none = build_terms(Recipe(terms={name: {"weight": 0} for name in TERM_KINDS}), context())
    assert none == []
    again, _ = train({}, steps=3)
    assert torch.equal(weights(plain), weights(again))


@pytest.mark.parametrize("name", TERM_KINDS)
def test_a_run_is_repeated_bit_by_bit(name):
    first, second = (train({name: SETTINGS.get(name, {})}, steps=4)[0] for _ in range(2))
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("name", TERM_KINDS)
@pytest.mark.parametrize("labels", ["none", "one class", "two classes"])
def test_odd_label_sets_do_no_harm(name, labels):
    samples = with_labels(
        {
            "none": lambda label: np.full_like(label, 255),
            "one class": lambda label: np.where(label == 255, 255, 1),
            "two classes": lambda label: np.where(label == 2, 255, label),
        }[labels]
    )
    chosen = {name: SETTINGS.get(name, {})}
    state, reports = train(chosen, samples=samples, steps=3, labels="frozen")
    assert torch.isfinite(weights(state)).all()
    assert all(np.isfinite(list(r.losses.values())).all() for r in reports)
    if name in WITHOUT_SOURCE:
        state, _ = train(chosen, "source_free", samples=samples, steps=3)
        assert torch.isfinite(weights(state)).all()


def test_all_methods_learn_together():
    names = {name: SETTINGS.get(name, {}) for name in TERM_KINDS}
    state, reports = train(names, steps=6)
    assert set(reports[0].losses) >= set(TERM_KINDS)
    assert torch.isfinite(weights(state)).all()


@pytest.mark.parametrize("name", TERM_KINDS)
def test_settings_are_checked(name):
    for wrong in ({"weight": -1}, {"weight": "1"}, {"wieght": 1}):
        with pytest.raises(ConfigError, match=f"terms.{name}"):
            build_terms(Recipe(terms={name: wrong}), context())


def test_a_resumed_run_of_all_methods_ends_with_the_same_bytes(tmp_path):
    def fresh() -> TrainingState:
        recipe = Recipe(terms={name: SETTINGS.get(name, {}) for name in TERM_KINDS})
        terms = build_terms(recipe, context(steps=6))
        for each in terms:
            each.prepare(with_rare())
        return TrainingState(compact(), terms, QUICK, 6, seed=0)

    def go_on(state: TrainingState, first: int, last: int) -> TrainingState:
        for step in range(first, last):
            state.train_step(batches(samples=with_rare()), step)
        return state

    undisturbed = go_on(fresh(), 0, 6)
    save_checkpoint(tmp_path, go_on(fresh(), 0, 3), 3, "a")
    resumed = fresh()
    assert load_checkpoint(tmp_path, resumed, "a") == 3
    assert torch.equal(weights(go_on(resumed, 3, 6)), weights(undisturbed))
