"""The losses of the base. Each is this process's share of a mean over the pixels of all processes.

Means are over all pixels, ignored ones too: a batch of few labels weighs less than a full one, and
one without any has the loss 0 with a gradient of 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.processes import mean_over_all
from models.ontology import IGNORE_LABEL


def labelled_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy, float [].

    Args:
        logits: float [B, K, H, W].
        labels: int64 [B, H, W]; 255 adds nothing.
        weights: of each pixel, float [B, H, W]; 1 if None.
    """
    each = F.cross_entropy(logits, labels, ignore_index=IGNORE_LABEL, reduction="none")
    return _mean(each if weights is None else each * weights)


def consistency_loss(logits: Tensor, soft_targets: Tensor, where: Tensor) -> Tensor:
    """Cross-entropy with soft labels at some pixels, float [].

    Args:
        logits: float [B, K, H, W].
        soft_targets: probabilities, float [B, K, H, W].
        where: which pixels add to it, bool [B, H, W].
    """
    each = -(soft_targets * logits.log_softmax(1)).sum(1)
    return _mean(torch.where(where, each, 0.0))


def _mean(each: Tensor) -> Tensor:
    return mean_over_all(each.sum(), each.new_tensor(float(each.numel())))
