"""Pixel semantic aggregation (PSA): kept pixels grow to the regions that a region model sees.

Zhao et al. (SeCo), section 3.2 and Alg. 1. Proposals take the class of the kept pixels in them
(semantic alignment, for stuff); components of kept pixels are asked for by box and points (for
things). `variant` chooses between the paper, its public code, and ours:

* all pixels vote, kept ones by their confidence and others by the class probabilities, but a mask
  without kept pixels has no say;
* where masks overlap, all of them decide together, the purer the more, so that proposals may be
  nested; nothing is painted over;
* the answer to a prompt is one mask more, taken only if it lies where it was asked for;
* pixels in no mask stay as they were kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from models.connectivity.by_painting import paint_masks
from models.connectivity.by_vote import vote_on_masks
from models.connectivity.config import AggregateConfig
from models.connectivity.features import FeatureMap
from models.connectivity.found_masks import FoundMasks
from models.connectivity.pixel_votes import PixelVotes
from models.connectivity.prompts import component_prompts
from models.connectivity.variants import psa_settings
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
    probabilities: FeatureMap | None = None,
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
        probabilities: of the classes, [K, h, w], for the votes of pixels that were not kept; None:
            they have no vote.

    Raises:
        ValueError: if the sizes of label, weight and embedding differ, or a class has no kind.
        ModelOutputInvalid: if the region model's masks have another size, or are too few or many.
    """
    _check(kept, weight, embedding, len(kinds))
    settings = psa_settings(config)
    pixels = np.bincount(kept.ravel(), minlength=IGNORE_LABEL + 1)[: len(kinds)]
    present = [int(c) for c in np.flatnonzero(pixels)]
    found = _ask(kept, embedding, region_model, kinds, present, config)
    if settings.overlaps == "vote":
        votes = PixelVotes(kept, weight, probabilities)
        label, pieces, masks = vote_on_masks(found, kept, votes, present, settings)
    else:
        label, pieces, masks = paint_masks(found, kept, len(kinds), settings)
    quality = np.clip(np.array([m.iou for m in masks], dtype=np.float32), 0, 1)
    return Aggregation(label, pieces, quality)


def _ask(
    kept: npt.NDArray[np.uint8],
    embedding: Embedding,
    region_model: RegionModel,
    kinds: Sequence[str],
    present: Sequence[int],
    config: AggregateConfig,
) -> FoundMasks:
    settings = psa_settings(config)
    stuff = [c for c in present if kinds[c] == "stuff"]
    things = [c for c in present if kinds[c] == "thing"]
    aligned = {"stuff": stuff, "all": present, "none": []}[settings.align]
    prompted = {"things": things, "all": present, "none": []}[settings.prompt]
    proposals = answers = Masks()
    if aligned:
        proposals = region_model.proposals(embedding, _proposal_config(config, region_model))
        _check_masks(proposals, len(proposals), kept.shape)
    asked = component_prompts(kept, len(kinds), prompted, settings)
    if len(asked):
        answers = region_model.masks(embedding, asked.prompts)
        _check_masks(answers, len(asked), kept.shape)
    return FoundMasks(proposals, aligned, answers, asked)


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
