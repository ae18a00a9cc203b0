"""Alg. 1 of SeCo, and its public code: masks take a class and are painted one over another."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from models.connectivity.found_masks import FoundMasks
from models.connectivity.painting import PROPOSAL, ClassedMask, in_order, paint
from models.connectivity.variants import PsaSettings
from models.connectivity.votes import KeptVotes
from models.ontology import IGNORE_LABEL


def paint_masks(
    found: FoundMasks, kept: npt.NDArray[np.uint8], num_classes: int, settings: PsaSettings
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], list[ClassedMask]]:
    """The label of what was found.

    Args:
        found: the masks.
        kept: class of each kept pixel, uint8 (H, W), 255 elsewhere.
        num_classes: K.
        settings: of the variant.

    Returns:
        The label, uint8 (H, W); which mask gave a pixel its class, from 1, int32 (H, W), 0 where
        none did; and the masks.
    """
    votes = KeptVotes(kept, num_classes)
    accepted = [*_aligned(found, votes, settings), *_answered(found, settings)]
    masks = in_order(accepted, settings.overlaps)
    pieces = paint(masks, (kept.shape[0], kept.shape[1]))
    classes = np.array([IGNORE_LABEL, *(m.class_id for m in masks)], dtype=np.uint8)
    label = classes.take(pieces)
    if settings.start == "kept":
        label = np.where(pieces == 0, kept, label)
    return label, pieces, masks


def _aligned(found: FoundMasks, votes: KeptVotes, settings: PsaSettings) -> Iterator[ClassedMask]:
    """The proposals whose kept pixels agree well enough on one of their classes."""
    classes = found.proposal_classes
    for index, rle in enumerate(found.proposals.rles):
        area_px = int(found.proposals.areas_px[index])
        in_mask = votes.of(rle)
        total = int(in_mask.sum())
        if total == 0 or total < settings.least_coverage * area_px:
            continue
        class_id = classes[int(in_mask[classes].argmax())]
        if in_mask[class_id] / total > settings.least_share:
            iou = float(np.nan_to_num(found.proposals.iou[index]))
            yield ClassedMask(rle, area_px, class_id, iou, PROPOSAL)


def _answered(found: FoundMasks, settings: PsaSettings) -> Iterator[ClassedMask]:
    """The answers to prompts, each with the class of its component."""
    for index in found.answers_at_their_box(settings.least_box_iou):
        yield ClassedMask(
            found.answers.rles[index],
            int(found.answers.areas_px[index]),
            int(found.asked.table.classes[index]),
            float(np.nan_to_num(found.answers.iou[index])),
            index,
        )
