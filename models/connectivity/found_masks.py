"""What a region model found in an image: proposals, and answers to prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.connectivity.boxes import box_iou
from models.connectivity.prompts import ComponentPrompts
from models.promptable.base import Masks


@dataclass(frozen=True, eq=False)
class FoundMasks:
    """Masks of one image.

    Attributes:
        proposals: of a grid.
        proposal_classes: which classes these may take, rising.
        answers: one for each of `asked`.
        asked: what was asked for.
    """

    proposals: Masks
    proposal_classes: Sequence[int]
    answers: Masks
    asked: ComponentPrompts

    def answers_at_their_box(self, least_box_iou: float) -> Iterator[int]:
        """Numbers of the answers that are not empty and lie where they were asked for."""
        if not len(self.asked):
            return
        boxes = np.asarray(self.asked.prompts.boxes_xyxy) + np.array([0, 0, 1, 1], np.float32)
        overlap = box_iou(self.answers.boxes_xyxy, boxes)
        for index, area_px in enumerate(self.answers.areas_px):
            if area_px > 0 and overlap[index] >= least_box_iou:
                yield index
