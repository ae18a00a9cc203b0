"""From losses and probabilities to a decision for each region.

Two rules: the paper's (SeCo, section 3.3) and the order statistics of its public code
(`convert_json_2input.py` and `vis_json.py` at 04c4a05), which has no mixture and no thresholds of
its own.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.ontology import IGNORE_LABEL

QUANTILE_MODES: Final = (
    "loss",
    "score",
    "both",
    "local_loss",
    "local_score",
    "local_both",
    "both_loss",
    "both_score",
    "both_both",
)

Floats = npt.NDArray[np.floating[Any]]
Classes = npt.NDArray[np.uint8]


class Decision(IntEnum):
    """What became of a region."""

    KEPT = 0
    RELABELLED = 1
    REJECTED = 2


def mixture_rule(
    posterior: Floats,
    probabilities: Floats,
    classes: Classes,
    keep_below: float,
    relabel_above: float,
) -> tuple[npt.NDArray[np.uint8], Classes]:
    """Keep what is probably clean; relabel the rest where the classifier is very sure.

    D_clean is what has posterior < tau_ns; D_corr is what has posterior > tau_ns and a largest
    probability > tau_cr. A region of D_corr whose most probable class is the one it has is kept.

    Args:
        posterior: eta, the probability that the class is wrong, (N,).
        probabilities: p, of each class, (N, K).
        classes: the class given, uint8 (N,).
        keep_below: tau_ns.
        relabel_above: tau_cr.

    Returns:
        `Decision` uint8 (N,) and the class after it, uint8 (N,), 255 where rejected.
    """
    best = _most_probable(probabilities)
    sure = (posterior > keep_below) & (probabilities.max(1, initial=0) > relabel_above)
    after = np.where(posterior < keep_below, classes, np.where(sure, best, IGNORE_LABEL))
    return _decisions(classes, after.astype(np.uint8))


@dataclass(frozen=True)
class QuantileThresholds:
    """Order statistics of losses and scores, over all regions and for each predicted class.

    Attributes:
        loss: over all; kept are losses not above it.
        score: over all; kept are scores not below it.
        local_losses: for each predicted class; the one over all where a class was never predicted.
        local_scores: likewise.
        mean_loss: mean of the local ones, weighted by the regions of each predicted class.
        mean_score: likewise.
    """

    loss: float
    score: float
    local_losses: tuple[float, ...]
    local_scores: tuple[float, ...]
    mean_loss: float
    mean_score: float

    @classmethod
    def of(cls, losses: Floats, probabilities: Floats, rho: float) -> "QuantileThresholds":
        """Thresholds of N regions with losses (N,) and probabilities (N, K).

        Raises:
            ValueError: there are no regions.
        """
        predicted, scores = _most_probable(probabilities), probabilities.max(1)
        counts = np.bincount(predicted, minlength=probabilities.shape[1])
        loss, score = order_statistic(losses, rho), order_statistic(scores, rho)
        groups = [predicted == c for c in range(len(counts))]
        local_losses = [order_statistic(losses[g], rho) if g.any() else loss for g in groups]
        local_scores = [order_statistic(scores[g], rho) if g.any() else score for g in groups]
        return cls(
            loss,
            score,
            tuple(local_losses),
            tuple(local_scores),
            float(counts @ local_losses / len(losses)),
            float(counts @ local_scores / len(losses)),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "QuantileThresholds":
        local = {name: tuple(data[name]) for name in ("local_losses", "local_scores")}
        return cls(**{**data, **local})


def order_statistic(values: Floats, rho: float) -> float:
    """q_rho(S) = sorted(S)[min(int(|S| rho), |S| - 1)].

    Raises:
        ValueError: there are no values.
    """
    if len(values) == 0:
        raise ValueError("no values, no order statistic")
    at = min(int(len(values) * rho), len(values) - 1)
    return float(np.partition(np.asarray(values), at)[at])


def quantile_rule(
    losses: Floats,
    probabilities: Floats,
    classes: Classes,
    thresholds: QuantileThresholds,
    mode: str = "both_loss",
) -> tuple[npt.NDArray[np.uint8], Classes]:
    """Keep what passes order statistics of loss or score, written with the predicted class.

    `loss`, `score` and `both` look at the thresholds over all, `local_…` at those of the predicted
    class, `both_…` pass what is within either the local threshold or the mean of the local ones.

    Returns:
        `Decision` uint8 (N,) and the class after it, uint8 (N,), 255 where rejected.

    Raises:
        ValueError: another mode.
    """
    if mode not in QUANTILE_MODES:
        raise ValueError(f"a quantile mode is one of {', '.join(QUANTILE_MODES)}, not {mode!r}")
    predicted = _most_probable(probabilities)
    scores = probabilities.max(1, initial=0)
    scope, _, measure = mode.rpartition("_")
    if mode == "both":
        scope, measure = "", "both"
    low_loss = _within(
        losses,
        thresholds.loss,
        thresholds.mean_loss,
        np.array(thresholds.local_losses)[predicted],
        scope,
    )
    # Negated, so that the same comparison serves: a high score is a low one of its negative.
    high_score = _within(
        -scores,
        -thresholds.score,
        -thresholds.mean_score,
        -np.array(thresholds.local_scores)[predicted],
        scope,
    )
    passed = {"loss": low_loss, "score": high_score, "both": low_loss & high_score}[measure]
    return _decisions(classes, np.where(passed, predicted, IGNORE_LABEL).astype(np.uint8))


def _within(
    values: Floats, overall: float, mean: float, local: Floats, scope: str
) -> npt.NDArray[np.bool_]:
    if scope == "":
        return values <= overall
    if scope == "local":
        return values <= local
    return (values <= local) | (values <= mean)


def _most_probable(probabilities: Floats) -> Classes:
    if len(probabilities) == 0:
        return np.zeros(0, np.uint8)
    return np.asarray(probabilities.argmax(1), np.uint8)


def _decisions(classes: Classes, after: Classes) -> tuple[npt.NDArray[np.uint8], Classes]:
    decisions = np.full(len(classes), Decision.RELABELLED, np.uint8)
    decisions[after == classes] = Decision.KEPT
    decisions[after == IGNORE_LABEL] = Decision.REJECTED
    return decisions, after
