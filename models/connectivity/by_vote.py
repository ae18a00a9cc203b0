"""Our way of aggregation: pixels vote in masks, and overlapping masks decide together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.connectivity.found_masks import FoundMasks
from models.connectivity.painting import (
    PROPOSAL,
    ClassedMask,
    by_rising_area,
    paint_where_right,
)
from models.connectivity.pixel_votes import PixelVotes
from models.connectivity.stacked_runs import StackedRuns
from models.connectivity.variants import PsaSettings
from models.connectivity.voting import count_votes, elect, purity
from models.ontology import IGNORE_LABEL
from models.promptable.base import Masks
from models.rle import Rle


def vote_on_masks(
    found: FoundMasks,
    kept: npt.NDArray[np.uint8],
    votes: PixelVotes,
    classes: Sequence[int],
    settings: PsaSettings,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], list[ClassedMask]]:
    """The label of what was found.

    Each pixel belongs to the largest mask whose own class is the pixel's.

    Args:
        found: the masks.
        kept: class of each kept pixel, uint8 (H, W), 255 elsewhere.
        votes: of all pixels.
        classes: ids of the C classes that may be written, rising.
        settings: of the variant.

    Returns:
        As `by_painting.paint_masks`.
    """
    candidates = [*_proposals(found, settings), *_answers(found, classes, settings)]
    shares = count_votes(_runs(candidates, kept.size), votes, classes)
    # What a mask says for classes that it may not take is lost, not given to others.
    spoken = shares * np.array([np.isin(classes, c.classes) for c in candidates]).reshape(
        len(candidates), len(classes)
    )
    leading = spoken.max(1, initial=0)
    kept_px = _runs(candidates, kept.size).sums((kept != IGNORE_LABEL).ravel(order="F"))
    least_px = np.array([c.least_kept_px for c in candidates])
    takes_part = np.flatnonzero(
        (kept_px > 0) & (kept_px >= least_px) & (leading > settings.least_share)
    )
    candidates = [candidates[place] for place in takes_part]
    strengths = np.array([c.strength for c in candidates]) * purity(shares[takes_part])
    spoken = spoken[takes_part]
    elected = elect(
        _runs(candidates, kept.size), spoken * strengths[:, None], votes, classes
    ).reshape(kept.shape, order="F")
    start = kept if settings.start == "kept" else np.full_like(kept, IGNORE_LABEL)
    label = np.where(elected == IGNORE_LABEL, start, elected)
    masks = by_rising_area(
        [
            ClassedMask(c.rle, c.area_px, int(classes[row.argmax()]), c.iou, c.prompt)
            for c, row in zip(candidates, spoken, strict=True)
        ]
    )
    return label, paint_where_right(masks, elected), masks


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A mask that may take part.

    Attributes:
        rle: the mask, not empty.
        area_px: its pixels.
        iou: the region model's estimate of its IoU.
        strength: how far the region model trusts it, from 0 to 1: estimated IoU times stability.
        classes: which classes it may take.
        least_kept_px: kept pixels that it must have.
        prompt: number of the prompt that it answers, -1 for a proposal.
    """

    rle: Rle
    area_px: int
    iou: float
    strength: float
    classes: Sequence[int]
    least_kept_px: float
    prompt: int


def _proposals(found: FoundMasks, settings: PsaSettings) -> Iterator[_Candidate]:
    for index, area_px in enumerate(found.proposals.areas_px):
        if area_px > 0:
            least_px = settings.least_coverage * float(area_px)
            yield _candidate(found.proposals, index, found.proposal_classes, least_px, PROPOSAL)


def _answers(
    found: FoundMasks, classes: Sequence[int], settings: PsaSettings
) -> Iterator[_Candidate]:
    for index in found.answers_at_their_box(settings.least_box_iou):
        yield _candidate(found.answers, index, classes, 0.0, index)


def _candidate(
    masks: Masks, index: int, classes: Sequence[int], least_kept_px: float, prompt: int
) -> _Candidate:
    iou, stability = (
        float(np.clip(np.nan_to_num(values[index]), 0, 1))
        for values in (masks.iou, masks.stability)
    )
    area_px = int(masks.areas_px[index])
    return _Candidate(
        masks.rles[index], area_px, iou, iou * stability, classes, least_kept_px, prompt
    )


def _runs(candidates: Sequence[_Candidate], pixels: int) -> StackedRuns:
    return StackedRuns([c.rle for c in candidates], pixels)
