"""What each pixel of an image says of its class: kept pixels surely, others by probability."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.connectivity.features import FeatureMap
from models.ontology import IGNORE_LABEL

WHOLE_VOTE: Final = 1 << 16
"""A vote in the whole numbers in which votes are counted."""
WEIGHT_OF_OTHERS: Final = 0.7
"""What a pixel that was not kept weighs, a kept one being 1."""


class PixelVotes:
    """Votes of the pixels of one image of H x W, class by class: K maps at once would be large.

    A kept pixel gives its confidence to its class, and the rest by the probabilities of the
    classes; one that was not kept gives all by them, and weighs less. Without probabilities there
    is no rest.

    Args:
        kept: class of each kept pixel, uint8 (H, W), 255 elsewhere.
        weight: confidence of each kept pixel, float32 (H, W), from 0 to 1; read only there.
        probabilities: of the classes, [K, h, w], at any resolution; None if not at hand.
    """

    def __init__(
        self,
        kept: npt.NDArray[np.uint8],
        weight: npt.NDArray[np.float32],
        probabilities: FeatureMap | None,
    ) -> None:
        self._kept = kept
        is_kept = kept != IGNORE_LABEL
        self._confidence = np.where(is_kept, weight, np.float32(0))
        self._rest = np.where(is_kept, 1 - self._confidence, np.float32(WEIGHT_OF_OTHERS))
        self._probabilities = probabilities

    def of(self, class_id: int) -> npt.NDArray[np.int64]:
        """Votes for one class in parts of `WHOLE_VOTE`, int64 (H W,) in column order."""
        votes = np.where(self._kept == class_id, self._confidence, np.float32(0))
        if self._probabilities is not None:
            votes += self._rest * self._probability(self._probabilities, class_id)
        counted: npt.NDArray[np.int64] = np.rint(votes * WHOLE_VOTE).astype(np.int64)
        return counted.ravel(order="F")

    def _probability(self, probabilities: FeatureMap, class_id: int) -> npt.NDArray[np.float32]:
        """Of one class at every pixel, interpolated between the cells, float32 (H, W)."""
        cells = probabilities.features[class_id].float().cpu().numpy()
        height, width = (max(1, round(side)) for side in probabilities.covers_hw_px)
        full = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full[: self._kept.shape[0], : self._kept.shape[1]], np.float32)
