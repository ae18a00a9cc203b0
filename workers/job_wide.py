"""What a correction that looks at the regions of a whole job must offer.

Pass 1 leaves the evidence of each image and adds to a sample of it; the join fits on the sample;
pass 2 applies the fit to each image's evidence.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from models.connectivity.evidence import RegionEvidence
from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from workers.npz import Arrays

Finisher = Callable[[str, Arrays], LabelMaps]


class JobWideStage(Protocol):
    """A `correct` stage with a fit over the whole job."""

    version: int

    def evidence(self, found: RegionEvidence) -> Arrays:
        """Arrays from which the label can be finished."""
        ...

    def sample(self, image_digest: str, evidence: Arrays, seed: int) -> Arrays:
        """What this image adds to the sample.

        Raises:
            ValueError: this is no evidence.
        """
        ...

    def merge(self, parts: Iterable[Arrays]) -> Arrays:
        """One sample of several; the same whatever their order, grouping and repetition.

        Reads one part at a time; memory does not grow with their number.
        """
        ...

    def fit(self, pipeline: LabelPipeline, sample: Arrays) -> dict[str, Any]:
        """The fit, as JSON; must depend on the sample, the configuration and the model alone."""
        ...

    def finisher(self, fit: dict[str, Any], *, keep_stages: bool) -> Finisher:
        """What finishes the label of an image, by its digest and its evidence."""
        ...
