"""The samples that a run trains on. Anything indexable will do: a folder, a list in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
LabelMap = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SourceSample:
    """An image with its true classes.

    Attributes:
        id: of the image.
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W), 255 where not known.
    """

    id: str
    image: RgbImage
    label: LabelMap


@dataclass(frozen=True, eq=False)
class TargetSample:
    """An image with its frozen pseudo-label.

    Attributes:
        id: of the image.
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W), 255 where nothing was kept.
        confidence: round(255 r) of the label, uint8 (H, W).
        regions: as in `regions.json`, None where no stage looked at regions.
        weight: of the image in the loss, >= 0.
        reviewed: whether people have looked at the label.
    """

    id: str
    image: RgbImage
    label: LabelMap
    confidence: LabelMap
    regions: dict[str, Any] | None = None
    weight: float = 1.0
    reviewed: bool = False


Sample = TypeVar("Sample")
Sample_co = TypeVar("Sample_co", covariant=True)


class Samples(Protocol[Sample_co]):
    """A list will do, or a folder; asking twice for a sample gives the same."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample_co: ...


SourceSamples = Samples[SourceSample]
TargetSamples = Samples[TargetSample]


def nothing() -> None:
    """Does nothing."""


def all_of(
    samples: Samples[Sample], before_sample: Callable[[], None] = nothing
) -> Iterator[Sample]:
    """Every sample in order; `before_sample` is called before each, and may raise."""
    for index in range(len(samples)):
        before_sample()
        yield samples[index]
