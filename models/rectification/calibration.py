"""From a score to a probability that can be taken at its word. Only numpy.

Platt, "Probabilistic outputs for support vector machines" (1999).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

# No look may say what their mean says: the odds of that must not drown what else is known.
LEAST_AGREEMENT: Final = 0.01

_NEWTON_STEPS: Final = 50
_RIDGE: Final = 1e-6


@dataclass(frozen=True)
class PlattScaling:
    """p = sigmoid(scale · logit + shift); with a scale above 0 the order stays."""

    scale: float = 1.0
    shift: float = 0.0

    def probability(self, logits: Floats) -> npt.NDArray[np.float32]:
        return sigmoid(self.scale * logits + self.shift)


def fit_platt(logits: Floats, right: Bools | Floats, weights: Floats | None = None) -> PlattScaling:
    """Scale and shift of highest likelihood, by Newton's method.

    Args:
        logits: scores (N,).
        right: whether each was right, or how probably it was, 0 to 1 (N,).
        weights: of each (N,); None counts all alike.

    Raises:
        ValueError: all are right, or all are wrong, so that no finite fit exists.
    """
    x, y = logits.astype(np.float64), right.astype(np.float64)
    if y.min() >= 1 or y.max() <= 0:
        raise ValueError("calibration needs right and wrong examples")
    w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    design = np.stack([x, np.ones_like(x)], 1)
    found = np.array([1.0, 0.0])
    best = _likelihood(design, y, w, found)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -40, 40)))
        gradient = design.T @ (w * (y - p))
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while (reached := _likelihood(design, y, w, found + step)) < best:
            step /= 2  # Newton steps may overshoot where the curve is flat
            if np.abs(step).max() < 1e-9:
                return PlattScaling(float(found[0]), float(found[1]))
        found, best = found + step, reached
        if np.abs(step).max() < 1e-7:
            break
    return PlattScaling(float(found[0]), float(found[1]))


def sigmoid(x: Floats) -> npt.NDArray[np.float32]:
    """1 / (1 + exp(-x)), float32."""
    return (1 / (1 + np.exp(-np.clip(x, -60, 60)))).astype(np.float32)


def log_odds(p: Floats, least: float = 1e-6) -> npt.NDArray[np.float32]:
    """log(p / (1 - p)) of probabilities clipped to [least, 1 - least], float32."""
    clipped = np.clip(p.astype(np.float64), least, 1 - least)
    return (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)


def _likelihood(design: Floats, y: Floats, w: Floats, parameters: Floats) -> float:
    z = design @ parameters
    return float((w * (y * z - np.logaddexp(0, z))).sum())
