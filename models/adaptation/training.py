"""The state of a run, and what one step does to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.adaptation.config import Recipe
from models.adaptation.networks import follow, teacher_momentum, teacher_of
from models.adaptation.prefetch import Batches
from models.adaptation.processes import (
    add_up,
    add_up_gradients,
    process_count,
    process_rank,
    summed,
)
from models.adaptation.step import StepLosses, step_losses
from models.adaptation.terms import LossTerm, StepOutputs
from models.segmentation.base import ModuleModel, batch_norms


class NotFinite(ArithmeticError):
    """A loss is NaN or infinite; the state is that after the step before."""

    code = "nan-loss"

    def __init__(self, step: int, names: Sequence[str]) -> None:
        super().__init__(f"the loss {', '.join(names)} is not finite in step {step}")
        self.step = step


@dataclass(frozen=True, eq=False)
class StepReport:
    """What a step says.

    Attributes:
        losses: over all processes, unweighted, by name; "total" is the weighted sum.
        figures: of the terms.
        outputs: what the terms looked at; this process's alone.
    """

    losses: Mapping[str, float]
    figures: Mapping[str, float]
    outputs: StepOutputs


class TrainingState:
    """Student, teacher, terms and optimiser.

    Args:
        model: to start from; becomes the student. The teacher begins as its copy.
        terms: of the methods.
        recipe: of the run.
        steps, seed: of the run.
    """

    def __init__(
        self,
        model: ModuleModel,
        terms: Sequence[LossTerm],
        recipe: Recipe,
        steps: int,
        seed: int,
    ) -> None:
        self.student, self.teacher = model, teacher_of(model)
        model.module.requires_grad_(True)
        self.terms = list(terms)
        self.recipe, self.steps, self.seed = recipe, steps, seed
        groups = [{"params": list(model.module.parameters()), "factor": 1.0}]
        for term in self.terms:
            apart = {
                id(parameter)
                for optimizer in term.own_optimizers().values()
                for group in optimizer.param_groups
                for parameter in group["params"]
            }
            own = [p for p in term.parameters() if p.requires_grad and id(p) not in apart]
            if own:
                groups.append({"params": own, "factor": term.learning_rate_factor()})
        self.optimizer = torch.optim.AdamW(
            groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

    def train_step(self, batches: Batches, step: int) -> StepReport:
        """One step.

        Raises:
            NotFinite: a loss is; weights, optimiser and teacher are untouched.
        """
        batch = batches.batch(step, process_rank(), process_count())
        found = step_losses(
            self.student, self.teacher, self.terms, batch, self.recipe,
            step=step, steps=self.steps, seed=self.seed,
        )  # fmt: skip
        losses = _over_all(found, step)
        self.optimizer.zero_grad(set_to_none=True)
        found.total.backward()  # type: ignore[no-untyped-call]
        add_up_gradients(self._parameters())
        self._average_statistics()
        for term in self.terms:
            term.after_backward(found.outputs)
        self._update(step)
        follow(
            self.teacher.module, self.student.module,
            teacher_momentum(step, self.recipe.teacher_momentum),
        )  # fmt: skip
        for term in self.terms:
            term.after_step(found.outputs)
        return StepReport(losses, found.figures, found.outputs)

    def _update(self, step: int) -> None:
        rate = self.recipe.learning_rate * rate_factor(step, self.steps, self.recipe.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        nn.utils.clip_grad_norm_(self._parameters(), self.recipe.clip_norm)
        self.optimizer.step()

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _average_statistics(self) -> None:
        """Batch statistics become their mean over processes."""
        if process_count() == 1:
            return
        for model in (self.student, self.teacher):
            add_up(
                [
                    buffer
                    for layer in batch_norms(model.module)
                    for buffer in (layer.running_mean, layer.running_var)
                    if buffer is not None
                ],
                1 / process_count(),
            )


def rate_factor(step: int, steps: int, warm_up: float) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then half a cosine to zero."""
    rising = max(1, round(steps * warm_up))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _over_all(found: StepLosses, step: int) -> dict[str, float]:
    """The losses over all processes; all of them see the same, and stop together."""
    names = [*found.losses, "total"]
    shares = torch.stack([*found.losses.values(), found.total.detach()]).double()
    values = [float(value) for value in summed(shares)]
    wrong = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
    if wrong:
        raise NotFinite(step, wrong)
    return dict(zip(names, values, strict=True))
