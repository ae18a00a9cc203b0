"""What a correction that looks at the regions of a whole job must offer.

Pass 1 leaves the `evidence` of each image and adds to a sample of it; the join fits on the sample;
pass 2 applies the fit to each image's evidence. Samples are merged by smallest key, so that order,
chunking and faults do not change them.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.pipeline import LabelMaps

Evidence = dict[str, npt.NDArray[Any]]
SampleEntry = tuple[str, Any]  # (key that orders the sample, JSON value)


class JobWideStage(Protocol):
    """A `correct` stage with a fit over the whole job."""

    version: int
    sample_size: int

    def evidence(self, image: npt.NDArray[np.uint8], maps: LabelMaps) -> Evidence:
        """Arrays from which the label can be finished, uint8 image (H, W, 3)."""
        ...

    def sample(self, image_digest: str, evidence: Evidence, seed: int) -> Iterable[SampleEntry]:
        """Entries that this image adds to the sample."""
        ...

    def fit(self, sample: list[SampleEntry]) -> dict[str, Any]:
        """The fit, as JSON; must depend on the sample alone."""
        ...

    def finish(self, evidence: Evidence, fit: dict[str, Any]) -> LabelMaps:
        """The final label of an image."""
        ...


def merge_samples(
    parts: Iterable[Iterable[SampleEntry | list[Any]]], size: int
) -> list[SampleEntry]:
    """Return the `size` entries of smallest key, in order of the key, each key once."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part:
            merged[key] = value
    return sorted(merged.items())[:size]
