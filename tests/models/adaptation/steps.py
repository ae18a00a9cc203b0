"""Runs single steps of a method on the toys."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.adaptation.batches import BatchSource
from models.adaptation.config import Recipe
from models.adaptation.data import TargetSample
from models.adaptation.rare_classes import class_pixels
from models.adaptation.registry import build_terms
from models.adaptation.step import StepLosses, step_losses
from models.adaptation.terms import LossTerm, TermContext
from models.adaptation.training import StepReport, TrainingState
from tests.models.adaptation.toys import CPU, ONTOLOGY, QUICK, compact, source, target

STEPS = 20


def context(setting: str = "uda", steps: int = STEPS) -> TermContext:
    return TermContext(setting, ONTOLOGY, 4, steps, 0, CPU)


def term(name: str, setting: str = "uda", steps: int = STEPS, **settings: Any) -> LossTerm:
    (made,) = build_terms(Recipe(terms={name: settings}), context(setting, steps))
    return made


def batches(
    setting: str = "uda", samples: Sequence[TargetSample] | None = None, recipe: Recipe = QUICK
) -> BatchSource:
    known = source() if setting == "uda" else None
    chosen = samples or target()
    donors = class_pixels(chosen if known is None else known, 3)
    return BatchSource(known, chosen, recipe, donors, 0, CPU)


def one_step(
    terms: Sequence[LossTerm],
    setting: str = "uda",
    step: int = 0,
    samples: Sequence[TargetSample] | None = None,
    state: TrainingState | None = None,
    recipe_changes: Mapping[str, Any] | None = None,
) -> StepLosses:
    """The losses of a step, and nothing done with them."""
    recipe = replace(QUICK, **(recipe_changes or {}))
    state = state or TrainingState(compact(), terms, recipe, STEPS, 0)
    batch = batches(setting, samples, recipe).batch(step, 0, 1)
    return step_losses(
        state.student, state.teacher, terms, batch, recipe, step=step, steps=STEPS, seed=0
    )


def train(
    names: Mapping[str, Mapping[str, Any]],
    setting: str = "uda",
    steps: int = STEPS,
    samples: Sequence[TargetSample] | None = None,
    **recipe: Any,
) -> tuple[TrainingState, list[StepReport]]:
    """A run with some methods; settings by name."""
    samples = samples or target()
    terms = [term(name, setting, steps, **settings) for name, settings in names.items()]
    for each in terms:
        each.prepare(samples)
    chosen = replace(QUICK, **recipe)
    state = TrainingState(compact(), terms, chosen, steps, 0)
    drawn = batches(setting, samples, chosen)
    return state, [state.train_step(drawn, step) for step in range(steps)]
