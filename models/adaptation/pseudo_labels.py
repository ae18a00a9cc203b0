"""Which labels of target pixels the student learns.

The frozen label set is what the label path gives: rectified, grown to regions, corrected. It was
made once, by the model that the round began with. The teacher is that model learning on: it is
weaker than the label path at first, and better than its labels later.

* "frozen": the label set alone.
* "online": the teacher alone, where its max-softmax reaches a threshold.
* "combined": frozen labels, and in their holes the teacher's where it is sure.
"""

import torch
from torch import Tensor

from models.adaptation.config import Recipe
from models.adaptation.terms import PseudoLabels, TargetBatch
from models.ontology import IGNORE_LABEL


def pseudo_labels(target: TargetBatch, probabilities: Tensor, recipe: Recipe) -> PseudoLabels:
    """Labels, weights and reliabilities of weak target samples.

    Args:
        target: with the frozen labels.
        probabilities: of the teacher, float32 [B, K, H, W].
        recipe: `labels`, `online_threshold`, `reliability_weights`.

    Returns:
        r of a frozen label is that of the label set (1 where people reviewed it), r of a teacher's
        label its max-softmax. The weight of a pixel is r or 1, times the weight of its image.
    """
    frozen = target.labels
    frozen_r = torch.where(target.reviewed[:, None, None], 1.0, target.reliability)
    if recipe.labels == "online":
        frozen = torch.full_like(frozen, IGNORE_LABEL)
    labels, reliability = frozen, torch.where(frozen != IGNORE_LABEL, frozen_r, 0.0)
    if recipe.labels != "frozen":
        p_max, best = probabilities.max(1)
        filled = (frozen == IGNORE_LABEL) & (p_max >= recipe.online_threshold)
        labels = torch.where(filled, best, frozen)
        reliability = torch.where(filled, p_max, reliability)
    kept = labels != IGNORE_LABEL
    weights = reliability if recipe.reliability_weights else kept.to(reliability)
    weights = weights * target.image_weights[:, None, None]
    return PseudoLabels(labels, weights, reliability, probabilities)
