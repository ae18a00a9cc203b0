"""Risk-coverage curve: the error rate of the most confident share of the pixels.

Source: Geifman, Uziel, El-Yaniv, "Bias-Reduced Uncertainty Estimation" (2019) for AURC and excess
AURC. `counts` is (2, 256): wrong and right pixels per confidence byte (see `reliability`).
"""

import numpy as np

from models.metrics.confusion import Counts, Fractions

_EULER_GAMMA = 0.5772156649015329


def risk_coverage_curve(counts: Counts) -> tuple[Fractions, Fractions]:
    """Coverage and selective risk after each confidence level, from the highest level down.

    Levels without pixels give no point. Both arrays are empty without pixels.

    Returns:
        (coverage, risk), each of shape (P,), P the number of levels with pixels.
    """
    per_level = counts.sum(axis=0)[::-1]
    filled = per_level > 0
    kept = np.cumsum(per_level)[filled]
    wrong = np.cumsum(counts[0][::-1])[filled]
    if kept.size == 0:
        return np.empty(0), np.empty(0)
    return kept / kept[-1], wrong / kept


def area_under_risk_coverage(counts: Counts) -> float:
    """Mean selective risk over all coverages, the pixels of a level entering together (AURC).

    0 is best, a constant confidence gives the error rate. NaN without pixels.
    """
    coverage, risk = risk_coverage_curve(counts)
    if coverage.size == 0:
        return float("nan")
    return float((np.diff(coverage, prepend=0.0) * risk).sum())


def excess_area_under_risk_coverage(counts: Counts) -> float:
    """AURC less that of a confidence that ranks every right pixel first; NaN without pixels."""
    wrong, right = (int(n) for n in counts.sum(axis=1))
    total = wrong + right
    if total == 0:
        return float("nan")
    # The best ranking has risk (k - right) / k after k > right pixels, and 0 before.
    best = (wrong - right * (_harmonic(total) - _harmonic(right))) / total
    return area_under_risk_coverage(counts) - best


def _harmonic(n: int) -> float:
    """1 + 1/2 + … + 1/n; the asymptotic series is exact to 1e-12 where it is used."""
    if n < 1000:
        return float((1.0 / np.arange(1, n + 1)).sum())
    return float(np.log(n) + _EULER_GAMMA + 1 / (2 * n) - 1 / (12 * n**2))
