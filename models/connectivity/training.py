"""Fits heads on noisy classes, each on all images but a fold, and stops before they are learnt.

Equation 2 of SeCo with pooled vectors in place of the network: the vectors are the masked mean of
frozen features, only the perceptron is fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.connectivity.head import Head, standardise
from models.threads import single_thread

_ROWS_AT_ONCE: Final = 8192
_MOST_LOOKED_AT: Final = 20_000


@dataclass(frozen=True)
class TrainingSettings:
    """How heads are fitted.

    Attributes:
        hidden: units of the hidden layer.
        input_dropout: share of the inputs (not of the class given) that each step does without:
            pooled vectors are wide, and a job of a few thousand regions is soon learnt by heart.
        smoothing: share of the target that goes to all classes alike, as in the public code.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch_sizes: fewest and most vectors a step; in between a round is one pass.
        round_steps: steps between two looks at the held-out loss.
        most_rounds: rounds at most.
        patience: rounds without a lower held-out loss after which fitting ends.
        seed: of weights and order.
    """

    hidden: int = 128
    input_dropout: float = 0.5
    smoothing: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    batch_sizes: tuple[int, int] = (256, 512)
    round_steps: int = 32
    most_rounds: int = 30
    patience: int = 4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Task:
    """What heads are fitted on.

    Attributes:
        vectors: float16 (N, D).
        targets: the class to be learnt, int64 (N,), below `outputs`.
        folds: fold of each vector, int64 (N,), below `fold_count`.
        outputs: number of scores.
        fold_count: number of folds, each left out by one head.
        given: the class given, uint8 (N,), for heads that may know it; else None.
        num_classes: number of classes that may be given.
    """

    vectors: npt.NDArray[np.float16]
    targets: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    outputs: int
    fold_count: int
    given: npt.NDArray[np.uint8] | None = None
    num_classes: int = 0


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Heads after the round at which the held-out loss was lowest.

    Attributes:
        heads: head f has not seen fold f.
        scores: of each vector by the head that has not seen it, float32 (N, O).
        rounds: how many rounds that was.
        held_out_losses: mean loss of all vectors after each round that ran.
    """

    heads: tuple[Head, ...]
    scores: npt.NDArray[np.float32]
    rounds: int
    held_out_losses: tuple[float, ...]


def connectivity_loss(scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """-sum log softmax(scores)[target] over regions, equation 2 of SeCo.

    Args:
        scores: float [N, O].
        targets: int64 [N].
        smoothing: share of each target that is spread over all classes.
    """
    return F.cross_entropy(scores, targets, label_smoothing=smoothing, reduction="sum")


@single_thread()
def cross_fit(task: Task, settings: TrainingSettings) -> CrossFit:
    """Fit one head a fold, all for the same number of rounds.

    That number is chosen without truth: the round after which vectors that a head has not seen
    fit their classes best. Later the heads learn the wrong classes among those they see.
    """
    inside = [np.flatnonzero(task.folds == f) for f in range(task.fold_count)]
    # Enough to see the loss turn; all of them only in the end.
    stride = -(-len(task.targets) // _MOST_LOOKED_AT)
    looked_at = [rows[::stride] for rows in inside]
    learners = [
        _Learner(task, np.flatnonzero(task.folds != f), replace(settings, seed=settings.seed + f))
        for f in range(task.fold_count)
    ]
    heads: tuple[Head, ...] = ()
    rounds = 0
    losses: list[float] = []
    while len(losses) < settings.most_rounds and len(losses) - rounds < settings.patience:
        for learner in learners:
            learner.run_round()
        now = tuple(learner.head() for learner in learners)
        losses.append(_held_out_loss(now, task, looked_at))
        if losses[-1] == min(losses):
            heads, rounds = now, len(losses)
    scores = np.zeros((len(task.targets), task.outputs), np.float32)
    for head, rows in zip(heads, inside, strict=True):
        scores[rows] = scores_of(head, task, rows)
    return CrossFit(heads, scores, rounds, tuple(losses))


@single_thread()
def fit_head(task: Task, settings: TrainingSettings, rounds: int) -> Head:
    """One head on all vectors, for a number of rounds."""
    learner = _Learner(task, np.arange(len(task.targets)), settings)
    for _ in range(rounds):
        learner.run_round()
    return learner.head()


def scores_of(head: Head, task: Task, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Scores (R, O) of some rows, a few thousand at a time."""
    parts = [
        head.scores(task.vectors[part], None if task.given is None else task.given[part])
        for part in _pieces(rows)
    ]
    return np.concatenate([np.zeros((0, task.outputs), np.float32), *parts])


def cross_entropy(
    scores: npt.NDArray[np.float32], targets: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """-log softmax(scores)[target] of each row, float64 (N,)."""
    wide = scores.astype(np.float64)
    highest = wide.max(1, initial=-np.inf) if len(wide) else np.zeros(0)
    total = np.log(np.exp(wide - highest[:, None]).sum(1)) + highest
    own = np.take_along_axis(wide, targets.astype(np.int64)[:, None], 1)[:, 0]
    losses: npt.NDArray[np.float64] = np.maximum(total - own, 0)
    return losses


def _held_out_loss(
    heads: Sequence[Head], task: Task, rows_of_folds: Sequence[npt.NDArray[np.int64]]
) -> float:
    total, count = 0.0, 0
    for head, rows in zip(heads, rows_of_folds, strict=True):
        total += float(cross_entropy(scores_of(head, task, rows), task.targets[rows]).sum())
        count += len(rows)
    return total / count


class _Learner:
    """A head while it is fitted."""

    def __init__(self, task: Task, rows: npt.NDArray[np.int64], settings: TrainingSettings) -> None:
        self._task, self._rows, self._settings = task, rows, settings
        self._generator = torch.Generator().manual_seed(settings.seed)
        fewest, most = settings.batch_sizes
        self._batch_size = min(max(len(rows) // settings.round_steps, fewest), most)
        self._waiting = rows[:0]
        self._mean, self._scale = _moments(task.vectors, rows)
        inputs = task.vectors.shape[1] + (0 if task.given is None else task.num_classes)
        self._weights = [
            self._drawn(inputs, settings.hidden),
            torch.zeros(settings.hidden, requires_grad=True),
            self._drawn(settings.hidden, task.outputs),
            torch.zeros(task.outputs, requires_grad=True),
        ]
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def run_round(self) -> None:
        """Some steps, through the rows again and again."""
        for _ in range(self._settings.round_steps):
            self._step(self._next_rows())

    def _next_rows(self) -> npt.NDArray[np.int64]:
        if len(self._waiting) == 0:
            order = torch.randperm(len(self._rows), generator=self._generator).numpy()
            self._waiting = self._rows[order]
        rows, self._waiting = np.split(self._waiting, [self._batch_size])
        return rows

    def head(self) -> Head:
        weights = [weight.detach().numpy().copy() for weight in self._weights]
        return Head(self._mean, self._scale, *weights)

    def _step(self, rows: npt.NDArray[np.int64]) -> None:
        inputs = torch.from_numpy(standardise(self._task.vectors[rows], self._mean, self._scale))
        kept = 1 - self._settings.input_dropout
        inputs *= torch.rand(inputs.shape, generator=self._generator) < kept
        inputs /= kept
        if self._task.given is not None:
            given = torch.from_numpy(self._task.given[rows].astype(np.int64))
            inputs = torch.cat([inputs, F.one_hot(given, self._task.num_classes).float()], 1)
        weight_in, bias_in, weight_out, bias_out = self._weights
        scores = (inputs @ weight_in + bias_in).relu() @ weight_out + bias_out
        targets = torch.from_numpy(self._task.targets[rows])
        loss = connectivity_loss(scores, targets, self._settings.smoothing) / len(rows)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def _drawn(self, inputs: int, outputs: int) -> Tensor:
        """He's initial weights, from the learner's own generator."""
        weight = torch.randn(inputs, outputs, generator=self._generator) * (2 / inputs) ** 0.5
        drawn: Tensor = weight.requires_grad_()
        return drawn


def _moments(
    vectors: npt.NDArray[np.float16], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation of each column, without a float32 copy of all vectors."""
    mean = np.zeros(vectors.shape[1])
    for piece in _pieces(rows):
        mean += vectors[piece].sum(0, dtype=np.float64)
    mean /= len(rows)
    variance = np.zeros(vectors.shape[1])
    for piece in _pieces(rows):
        variance += ((vectors[piece].astype(np.float64) - mean) ** 2).sum(0)
    scale = np.sqrt(variance / len(rows))
    # What varies by less than float16 can tell is constant.
    scale[scale <= 1e-4 * np.maximum(np.abs(mean), 1e-3)] = 1
    return mean.astype(np.float32), scale.astype(np.float32)


def _pieces(rows: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]
