"""Pixel semantic aggregation (PSA): kept pixels grow to the regions that a region model sees.

Zhao et al. (SeCo), section 3.2 and Alg. 1. Proposals take the class of the kept pixels in them
(semantic alignment, for stuff); components of kept pixels are asked for by box and points (for
things). `variant` chooses between the paper, its public code, and ours:

* votes count with their confidence, and a mask needs a majority as well as enough of them;
* the answer to a prompt is taken only if its own kept pixels mostly agree with the class, and if it
  lies where it was asked for;
* of two masks of different classes that are nearly the same the better one is painted, and smaller
  masks are painted over larger ones;
* we start from the kept pixels. One that disagrees with the mask painted over it stays if it is
  surer of its class than the mask (weight against score, the mask's share of votes times its
  estimated IoU), and if at least 10 such pixels of one class hang together.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from models.connectivity.boxes import box_iou
from models.connectivity.components import components_of
from models.connectivity.config import AggregateConfig
from models.connectivity.painting import (
    PROPOSAL,
    ClassedMask,
    in_order,
    paint,
    without_overlaps,
)
from models.connectivity.prompts import ComponentPrompts, component_prompts
from models.connectivity.variants import PsaSettings, psa_settings
from models.connectivity.votes import KeptVotes
from models.errors import ModelOutputInvalid
from models.ontology import IGNORE_LABEL
from models.promptable.base import Embedding, Masks, ProposalConfig, RegionModel


@dataclass(frozen=True, eq=False)
class Aggregation:
    """A label of whole regions, and where it comes from.

    Attributes:
        label: uint8 (H, W), 255 where nothing is known.
        pieces: int32 (H, W), which mask gave a pixel its class, from 1; 0 where none did.
        quality: float32 (M,), the region model's estimated IoU of mask 1, 2, … M.
    """

    label: npt.NDArray[np.uint8]
    pieces: npt.NDArray[np.int32]
    quality: npt.NDArray[np.float32]


def aggregate(
    kept: npt.NDArray[np.uint8],
    weight: npt.NDArray[np.float32],
    embedding: Embedding,
    region_model: RegionModel,
    kinds: Sequence[str],
    config: AggregateConfig,
) -> Aggregation:
    """The kept pixels of an image, grown to regions.

    The outcome does not depend on the order of the region model's proposals.

    Args:
        kept: uint8 (H, W), class of each kept pixel, 255 elsewhere; not changed.
        weight: float32 (H, W), confidence of each kept pixel, from 0 to 1; read only there.
        embedding: the image as `region_model` encoded it.
        region_model: what finds masks; not asked at all if nothing can come of it.
        kinds: "stuff" or "thing" for each class.
        config: the variant and what overrides it.

    Raises:
        ValueError: if the sizes of label, weight and embedding differ, or a class has no kind.
        ModelOutputInvalid: if the region model's masks have another size, or are too few or many.
    """
    _check(kept, weight, embedding, len(kinds))
    settings = psa_settings(config)
    pixels = np.bincount(kept.ravel(), minlength=IGNORE_LABEL + 1)[: len(kinds)]
    present = [int(c) for c in np.flatnonzero(pixels)]
    stuff = [c for c in present if kinds[c] == "stuff"]
    things = [c for c in present if kinds[c] == "thing"]
    aligned = {"stuff": stuff, "all": present, "none": []}[config.align]
    prompted = {"things": things, "all": present, "none": []}[config.prompt]

    votes = KeptVotes(kept, weight if settings.weighted else None, len(kinds))
    masks: list[ClassedMask] = []
    if aligned:
        proposals = region_model.proposals(embedding, _proposal_config(config, region_model))
        _check_masks(proposals, len(proposals), kept.shape)
        masks += _aligned(proposals, votes, aligned, settings)
    asked = component_prompts(kept, len(kinds), prompted, settings)
    if len(asked):
        answers = region_model.masks(embedding, asked.prompts)
        _check_masks(answers, len(asked), kept.shape)
        masks += _answered(answers, asked, votes, settings)
    if settings.most_overlap < 1:
        masks = without_overlaps(masks, settings.most_overlap)
    masks = in_order(masks, settings.painting)
    pieces = paint(masks, kept.shape)
    return _labelled(kept, weight, pieces, masks, settings)


def _aligned(
    proposals: Masks, votes: KeptVotes, classes: Sequence[int], settings: PsaSettings
) -> list[ClassedMask]:
    """The proposals whose kept pixels agree well enough on one of `classes`."""
    accepted = []
    for index, rle in enumerate(proposals.rles):
        area = int(proposals.areas_px[index])
        in_mask, kept_px = votes.of(rle)
        total = in_mask.sum()
        if total == 0 or kept_px < settings.least_coverage * area:
            continue
        class_id = classes[int(in_mask[classes].argmax())]
        share = in_mask[class_id] / total
        if share > settings.least_share:
            accepted.append(_classed(proposals, index, class_id, share, PROPOSAL))
    return accepted


def _answered(
    answers: Masks, asked: ComponentPrompts, votes: KeptVotes, settings: PsaSettings
) -> list[ClassedMask]:
    """The answers to prompts, each with the class of its component."""
    boxes = np.asarray(asked.prompts.boxes_xyxy) + np.array([0, 0, 1, 1], dtype=np.float32)
    overlap = box_iou(answers.boxes_xyxy, boxes)
    accepted = []
    for index, rle in enumerate(answers.rles):
        if answers.areas_px[index] == 0:
            continue
        class_id = int(asked.table.classes[index])
        share = 1.0
        if settings.check_prompts:
            in_mask, _ = votes.of(rle)
            share = in_mask[class_id] / max(in_mask.sum(), np.finfo(np.float64).tiny)
            if share <= settings.least_share or overlap[index] < settings.least_box_iou:
                continue
        accepted.append(_classed(answers, index, class_id, share, index))
    return accepted


def _classed(masks: Masks, index: int, class_id: int, share: float, prompt: int) -> ClassedMask:
    iou = float(np.nan_to_num(masks.iou[index]))
    x0, y0, x1, y1 = masks.boxes_xyxy[index].tolist()
    return ClassedMask(
        rle=masks.rles[index],
        area_px=int(masks.areas_px[index]),
        box_xyxy=(x0, y0, x1, y1),
        class_id=class_id,
        iou=iou,
        score=float(share) * min(max(iou, 0.0), 1.0),
        prompt=prompt,
    )


def _labelled(
    kept: npt.NDArray[np.uint8],
    weight: npt.NDArray[np.float32],
    pieces: npt.NDArray[np.int32],
    masks: Sequence[ClassedMask],
    settings: PsaSettings,
) -> Aggregation:
    class_of = np.array([IGNORE_LABEL, *(m.class_id for m in masks)], dtype=np.uint8)
    label = class_of.take(pieces)
    if settings.start == "kept":
        trusted = np.array([-1.0, *(m.score for m in masks)], dtype=np.float32)
        stays = _staying(kept, weight, label, trusted.take(pieces), settings)
        stays |= pieces == 0
        label[stays] = kept[stays]
        pieces = np.where(stays, 0, pieces)
    quality = np.clip(np.array([m.iou for m in masks], dtype=np.float32), 0, 1)
    return Aggregation(label, pieces, quality)


def _staying(
    kept: npt.NDArray[np.uint8],
    weight: npt.NDArray[np.float32],
    painted: npt.NDArray[np.uint8],
    score: npt.NDArray[np.float32],
    settings: PsaSettings,
) -> npt.NDArray[np.bool_]:
    """Kept pixels that no mask overrules, (H, W): they are surer than it, and not specks."""
    disagrees = (kept != IGNORE_LABEL) & (painted != IGNORE_LABEL) & (kept != painted)
    stays: npt.NDArray[np.bool_] = disagrees & (weight * np.float32(settings.trust_kept) > score)
    if settings.least_kept_px > 1 and stays.any():
        components, _ = components_of(np.where(stays, kept, np.uint8(IGNORE_LABEL)))
        large = np.bincount(components.ravel()) >= settings.least_kept_px
        stays &= large[components]
    return stays


def _proposal_config(config: AggregateConfig, region_model: RegionModel) -> ProposalConfig:
    """What is asked for, and the region model's own defaults where nothing is."""
    given = {k: v for k, v in asdict(config.proposals).items() if v is not None}
    return replace(region_model.proposal_defaults, **given)


def _check(
    kept: npt.NDArray[np.uint8],
    weight: npt.NDArray[np.float32],
    embedding: Embedding,
    num_classes: int,
) -> None:
    if not kept.shape == weight.shape == tuple(embedding.size_hw):
        raise ValueError(
            f"kept pixels of {kept.shape}, weights of {weight.shape} and an embedding of "
            f"{tuple(embedding.size_hw)} pixels do not belong together"
        )
    named = kept[kept != IGNORE_LABEL]
    if named.size and named.max() >= num_classes:
        raise ValueError(f"class {named.max()} occurs, but only {num_classes} classes have a kind")


def _check_masks(masks: Masks, count: int, size_hw: tuple[int, ...]) -> None:
    if len(masks) != count:
        raise ModelOutputInvalid(f"{count} prompts have {len(masks)} answers of the region model")
    for rle in masks.rles:
        if tuple(rle.size_hw) != size_hw:
            raise ModelOutputInvalid(
                f"the region model gave a mask of {rle.size_hw} pixels for an image of {size_hw}"
            )
