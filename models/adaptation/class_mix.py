"""Class mix: some classes of one image are pasted into another.

Source: Olsson et al., "ClassMix" (WACV 2021); across domains Tranheden et al., "DACS" (WACV 2021).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.adaptation.terms import MixedBatch, PseudoLabels
from models.ontology import IGNORE_LABEL


@dataclass(frozen=True, eq=False)
class Donors:
    """Images of which classes are pasted, one for each sample.

    Attributes:
        images: float32 [B, 3, H, W].
        labels: int64 [B, H, W], 255 where there is none.
        weights: of each pixel in the loss, float32 [B, H, W]; 1 for ground truth.
        reliability: r of the labels, float32 [B, H, W]; 1 for ground truth.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    reliability: Tensor


def drawn_classes(label: Tensor, share: float, rng: np.random.Generator) -> list[int]:
    """Some of the classes present, never 255; the share of them rounded up.

    Args:
        label: int64 [H, W].
        share: of the classes that are drawn, 0 to 1.
        rng: of this draw.
    """
    present = [int(c) for c in torch.unique(label) if c != IGNORE_LABEL]
    count = math.ceil(share * len(present))
    return sorted(int(c) for c in rng.choice(present, count, replace=False)) if count else []


def paste_mask(labels: Tensor, classes: list[list[int]]) -> Tensor:
    """Pixels of the classes drawn for each image, bool [B, H, W]."""
    masks = []
    for label, drawn in zip(labels, classes, strict=True):
        masks.append(torch.isin(label, torch.tensor(drawn, dtype=label.dtype, device=label.device)))
    return torch.stack(masks)


def class_mix(images: Tensor, pseudo: PseudoLabels, donors: Donors, pasted: Tensor) -> MixedBatch:
    """Target images with pixels of donors in them.

    A pasted pixel brings image, label, weight and r; what is ignored below stays so.

    Args:
        images: of the target, float32 [B, 3, H, W].
        pseudo: of these.
        donors: one for each.
        pasted: of `paste_mask`.
    """
    return MixedBatch(
        images=torch.where(pasted[:, None], donors.images, images),
        labels=torch.where(pasted, donors.labels, pseudo.labels),
        weights=torch.where(pasted, donors.weights, pseudo.weights),
        reliability=torch.where(pasted, donors.reliability, pseudo.reliability),
        pasted=pasted,
        soft_targets=pseudo.probabilities,
    )
