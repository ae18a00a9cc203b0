"""Stage `select`: which pixels keep their label, by the probability of their class.

A pixel is kept if its largest class probability reaches the threshold of that class. Thresholds are
given, or are quantiles: of the histogram of a pilot over a sample of the set, or of one image.
Counts are integers, so histograms of parts of a set add up to the same whole in any order.
Imports numpy only.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from models.config import SelectConfig
from models.ontology import IGNORE_LABEL

BINS = 1024
_UNIFORM_BINS = 511
_STEPS_PER_OCTAVE = 32
_FIRST_OCTAVE = 9


def _bin_starts() -> npt.NDArray[np.float32]:
    """Lower ends of the bins, float32 (1024,), rising from 0 to 1.

    Confident networks put most pixels above 0.99, where bins of one width could not tell a quantile
    from its neighbours. So the bins have width 1/512 up to 511/512; above it the distance to 1 is
    split into octaves of 32 bins each, down to the spacing of float32. The last bin is exactly 1.
    """
    uniform = np.arange(_UNIFORM_BINS, dtype=np.float64) / 512
    octaves = np.arange(_FIRST_OCTAVE, _FIRST_OCTAVE + 16, dtype=np.float64)[:, None]
    steps = np.arange(_STEPS_PER_OCTAVE, dtype=np.float64) / (2 * _STEPS_PER_OCTAVE)
    near_one = 1.0 - np.exp2(-octaves) * (1.0 - steps)
    return np.concatenate([uniform, near_one.ravel(), [1.0]]).astype(np.float32)


BIN_STARTS = _bin_starts()


@dataclass(frozen=True)
class ConfidenceHistogram:
    """How often each predicted class occurred at each confidence: int64 (K, 1024)."""

    counts: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, num_classes: int) -> "ConfidenceHistogram":
        return cls(np.zeros((num_classes, BINS), dtype=np.int64))

    @classmethod
    def of(
        cls, label: npt.NDArray[np.uint8], p_max: npt.NDArray[np.float32], num_classes: int
    ) -> "ConfidenceHistogram":
        """Counts of one image.

        Args:
            label: predicted class of each pixel, (H, W), all below `num_classes`.
            p_max: its probability, (H, W), in [0, 1].
        """
        flat = label.ravel().astype(np.int64) * BINS + _bins_of(p_max.ravel())
        counts = np.bincount(flat, minlength=num_classes * BINS).astype(np.int64)
        return cls(counts.reshape(num_classes, BINS))

    @property
    def num_classes(self) -> int:
        return int(self.counts.shape[0])

    @property
    def pixels(self) -> int:
        return int(self.counts.sum())

    def merge(self, other: "ConfidenceHistogram") -> "ConfidenceHistogram":
        """The counts of both; raises ValueError if the numbers of classes differ."""
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"histograms of {self.num_classes} and {other.num_classes} classes do not merge"
            )
        return ConfidenceHistogram(self.counts + other.counts)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: per class the filled bins, as [[bin, count], …]."""
        rows = [[[int(b), int(row[b])] for b in np.flatnonzero(row)] for row in self.counts]
        return {"bins": BINS, "classes": rows}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ConfidenceHistogram":
        if data.get("bins") != BINS:
            raise ValueError(f"a confidence histogram has {BINS} bins, not {data.get('bins')}")
        histogram = cls.empty(len(data["classes"]))
        for row, filled in zip(histogram.counts, data["classes"], strict=True):
            for position, count in filled:
                row[position] = count
        return histogram


@dataclass(frozen=True)
class PilotFit:
    """One threshold per class, and what they were fitted on.

    Attributes:
        thresholds: least probability at which a pixel of the class is kept, (K,).
        mode, keep_fraction: of the configuration that was fitted.
        class_pixels: pixels of each predicted class in the pilot, (K,).
    """

    thresholds: tuple[float, ...]
    mode: str
    keep_fraction: float
    class_pixels: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "thresholds": list(self.thresholds),
            "mode": self.mode,
            "keep_fraction": self.keep_fraction,
            "class_pixels": list(self.class_pixels),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PilotFit":
        return cls(
            thresholds=tuple(float(t) for t in data["thresholds"]),
            mode=str(data["mode"]),
            keep_fraction=float(data["keep_fraction"]),
            class_pixels=tuple(int(n) for n in data["class_pixels"]),
        )


def fit_thresholds(histogram: ConfidenceHistogram, config: SelectConfig) -> PilotFit:
    """The thresholds that keep `config.keep_fraction` of the pixels counted in `histogram`.

    For counts h of n pixels, the threshold is the lower end of the highest bin b with
    h[b] + h[b+1] + … >= ceil(keep_fraction * n): at least the share is kept, and at most the pixels
    of one bin more. `keep_fraction` 1 gives the threshold 0. In mode `class_balanced` each class
    has its own counts; a class that the pilot has not seen takes the threshold of all together.

    Raises:
        ValueError: if the histogram is empty.
    """
    if histogram.pixels == 0:
        raise ValueError("the pilot has counted no pixel, so there is nothing to fit")
    overall = _quantile(histogram.counts.sum(axis=0), config.keep_fraction)
    if config.mode == "global":
        thresholds = [overall] * histogram.num_classes
    else:
        thresholds = [
            _quantile(row, config.keep_fraction) if row.any() else overall
            for row in histogram.counts
        ]
    return PilotFit(
        thresholds=tuple(thresholds),
        mode=config.mode,
        keep_fraction=config.keep_fraction,
        class_pixels=tuple(int(n) for n in histogram.counts.sum(axis=1)),
    )


def fixed_thresholds(config: SelectConfig, num_classes: int) -> tuple[float, ...] | None:
    """The thresholds that the configuration gives, one per class; None if it gives none.

    Raises:
        ValueError: if a list has another length than the number of classes.
    """
    if config.thresholds is None:
        return None
    if not isinstance(config.thresholds, tuple):
        return (float(config.thresholds),) * num_classes
    if len(config.thresholds) != num_classes:
        raise ValueError(
            f"select.thresholds has {len(config.thresholds)} values, the model has {num_classes} "
            "classes"
        )
    return config.thresholds


def select(
    label: npt.NDArray[np.uint8],
    p_max: npt.NDArray[np.float32],
    thresholds: tuple[float, ...],
) -> npt.NDArray[np.uint8]:
    """The label where `p_max` reaches the threshold of its class, 255 elsewhere; all (H, W).

    Thresholds are compared as float32, the precision of `p_max`.
    """
    limits = np.full(IGNORE_LABEL + 1, np.inf, dtype=np.float32)
    limits[: len(thresholds)] = thresholds
    return np.where(p_max >= limits[label], label, np.uint8(IGNORE_LABEL))


def _bins_of(p_max: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The highest bin that starts at or below each value; both arrays (N,).

    So bin(p) >= b exactly when p >= BIN_STARTS[b].
    """
    # Multiplying by a power of two is exact. The search is slower, and only needed near 1.
    bins = (p_max * np.float32(512)).astype(np.int64)
    near_one = bins >= _UNIFORM_BINS
    bins[near_one] = np.searchsorted(BIN_STARTS, p_max[near_one], side="right") - 1
    return bins


def _quantile(counts: npt.NDArray[np.int64], keep_fraction: float) -> float:
    if keep_fraction == 1:
        return 0.0
    # As a decimal fraction: 0.1 of 30 pixels is 3, while the binary 0.1 * 30 rounds up to 4.
    wanted = math.ceil(Fraction(str(keep_fraction)) * int(counts.sum()))
    at_or_above = np.cumsum(counts[::-1])[::-1]
    return float(BIN_STARTS[np.flatnonzero(at_or_above >= wanted)[-1]])
