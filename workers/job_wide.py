"""What a correction that looks at the regions of a whole job must offer.

Pass 1 leaves the `evidence` of each image and adds to a sample of it; the join fits on the sample;
pass 2 applies the fit to each image's evidence.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.pipeline import LabelMaps
from workers.npz import Arrays


class JobWideStage(Protocol):
    """A `correct` stage with a fit over the whole job."""

    version: int

    def evidence(self, image: npt.NDArray[np.uint8], maps: LabelMaps) -> Arrays:
        """Arrays from which the label can be finished, uint8 image (H, W, 3)."""
        ...

    def sample(self, image_digest: str, evidence: Arrays, seed: int) -> Arrays:
        """What this image adds to the sample."""
        ...

    def merge(self, parts: Iterable[Arrays]) -> Arrays:
        """One sample of several; the same whatever their order, grouping and repetition.

        Reads one part at a time, so that its memory is that of the sample and two parts.
        """
        ...

    def fit(self, sample: Arrays) -> dict[str, Any]:
        """The fit, as JSON; must depend on the sample alone."""
        ...

    def finish(self, evidence: Arrays, fit: dict[str, Any]) -> LabelMaps:
        """The final label of an image."""
        ...
