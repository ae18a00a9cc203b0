"""Two Gaussians on losses in one dimension: which regions are hard to explain by their class.

The split of SeCo, section 3.3, by expectation maximisation. The paper gives neither normalisation
nor start; ours are fixed, so that the same losses always give the same split.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ITERATIONS: Final = 200
_TOLERANCE: Final = 1e-7
# On losses scaled to [0, 1]: without a floor the low group shrinks to a spike around its commonest
# value and everything beside it counts as high. DivideMix (Li et al., ICLR 2020) uses the same.
_LEAST_VARIANCE: Final = 5e-4
# Below it losses cannot be scaled to [0, 1].
_LEAST_RANGE: Final = 1e-300
_BELOW_ONE: Final = float(np.nextafter(1.0, 0.0))

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TwoGaussians:
    """A mixture on losses scaled to [0, 1]; first the low group, then the high one.

    Attributes:
        lowest: the loss that is scaled to 0.
        highest: the loss that is scaled to 1.
        shares: how much of the mixture each group is; they add up to 1.
        means: of the scaled losses, rising.
        variances: of the scaled losses.
    """

    lowest: float
    highest: float
    shares: tuple[float, float]
    means: tuple[float, float]
    variances: tuple[float, float]

    @property
    def separation(self) -> float:
        """Ashman's D; above 2 the groups are clearly apart (Ashman et al., AJ 108, 1994)."""
        distance = self.means[1] - self.means[0]
        return float(np.sqrt(2) * distance / np.sqrt(self.variances[0] + self.variances[1]))

    def posterior(self, losses: Floats) -> npt.NDArray[np.float64]:
        """Probability of the high group for each loss, float64 (N,), in [0, 1).

        It never falls with a rising loss: of two Gaussians the wider one wins on both sides, and
        where it would claim the wrong side the log odds keep the value of their turning point.
        """
        x = (np.asarray(losses, dtype=np.float64) - self.lowest) / (self.highest - self.lowest)
        (v0, v1), (m0, m1) = self.variances, self.means
        curvature = 1 / v0 - 1 / v1  # of twice the log odds
        if curvature != 0:
            turn = (m0 / v0 - m1 / v1) / curvature
            x = np.maximum(x, turn) if curvature > 0 else np.minimum(x, turn)
        odds = _log_density(x, self.shares[1], m1, v1) - _log_density(x, self.shares[0], m0, v0)
        return np.minimum(1 / (1 + np.exp(-np.clip(odds, -700, 700))), _BELOW_ONE)

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TwoGaussians":
        return cls(
            lowest=float(data["lowest"]),
            highest=float(data["highest"]),
            shares=_pair(data["shares"]),
            means=_pair(data["means"]),
            variances=_pair(data["variances"]),
        )


def fit_two_gaussians(losses: Floats) -> TwoGaussians | None:
    """The mixture that explains losses (N,), or None where there is nothing to split.

    That is so with fewer than two losses, and if all are equal.

    Raises:
        ValueError: a loss is not finite.
    """
    values = np.sort(np.asarray(losses, dtype=np.float64))
    if not np.isfinite(values).all():
        raise ValueError("losses must be finite")
    if len(values) < 2 or values[-1] - values[0] < _LEAST_RANGE:
        return None
    lowest, highest = float(values[0]), float(values[-1])
    x = (values - lowest) / (highest - lowest)
    member = _two_means(x)
    previous = -np.inf
    for _ in range(_ITERATIONS):
        shares, means, variances = _maximise(x, member)
        rows = zip(shares, means, variances, strict=True)
        logs = np.stack([_log_density(x, *row) for row in rows])
        likelihood = float(np.logaddexp(logs[0], logs[1]).mean())
        member = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -700, 700)))
        if likelihood - previous < _TOLERANCE:
            break
        previous = likelihood
    order = np.argsort(means, kind="stable")
    return TwoGaussians(
        lowest,
        highest,
        _pair(shares[order]),
        _pair(means[order]),
        _pair(variances[order]),
    )


def _two_means(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 for the upper group of the best 2-means split of sorted values that are not all equal."""
    count = np.arange(1, len(x))
    below = np.cumsum(x)[:-1]
    above = x.sum() - below
    between = below**2 / count + above**2 / (len(x) - count)
    # Equal values stay together.
    between[np.diff(x) == 0] = -np.inf
    return (np.arange(len(x)) > np.argmax(between)).astype(np.float64)


def _maximise(
    x: npt.NDArray[np.float64], member: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    weights = np.stack([1 - member, member])
    total = np.maximum(weights.sum(1), 1e-12)
    means = weights @ x / total
    variances = (weights * (x - means[:, None]) ** 2).sum(1) / total
    return total / total.sum(), means, np.maximum(variances, _LEAST_VARIANCE)


def _log_density(
    x: npt.NDArray[np.float64], share: float, mean: float, variance: float
) -> npt.NDArray[np.float64]:
    density: npt.NDArray[np.float64] = (
        np.log(share) - 0.5 * np.log(2 * np.pi * variance) - (x - mean) ** 2 / (2 * variance)
    )
    return density


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)
