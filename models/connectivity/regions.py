"""The regions of one image's label, and what is known of each."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.rle import Rle


@dataclass(frozen=True, eq=False)
class Regions:
    """N regions of one image; painting each with its class gives the label back, bit by bit.

    Attributes:
        size_hw: height and width of the image.
        rles: their masks, which do not overlap.
        boxes_xyxy: int32 (N, 4), half open.
        areas_px: int64 (N,).
        classes: uint8 (N,), the class that aggregation gave.
        votes: float32 (N, K): sum of the weights of the region's kept pixels, by their class.
        quality: float32 (N,): the region model's estimated IoU of the mask that was painted here;
            1 where the kept pixels themselves are the region.
        confidence: float32 (N,): mean probability of the predicted class over all pixels.
        features: {group: float16 (N, D)}; see `models.connectivity.features`.
    """

    size_hw: tuple[int, int]
    rles: list[Rle]
    boxes_xyxy: npt.NDArray[np.int32]
    areas_px: npt.NDArray[np.int64]
    classes: npt.NDArray[np.uint8]
    votes: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    features: dict[str, npt.NDArray[np.float16]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rles)

    def vote_share(self) -> npt.NDArray[np.float32]:
        """Share of the votes that went to the region's class, float32 (N,); 0 without votes."""
        total = self.votes.sum(1)
        own = np.take_along_axis(self.votes, self.classes[:, None].astype(np.int64), 1)[:, 0]
        share: npt.NDArray[np.float32] = np.divide(
            own, total, out=np.zeros_like(total), where=total > 0
        )
        return share
