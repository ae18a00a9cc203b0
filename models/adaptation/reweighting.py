"""Dynamic re-weighting: classes that the model is unsure of count more.

Reconstruction of T2S-DA's re-weighting (only the idea is in its abstract), after the confidence
bank of Hu et al., "Semi-Supervised Semantic Segmentation via Adaptive Equalization Learning"
(NeurIPS 2021).
"""

import torch
from torch import Tensor, nn

from models.ontology import IGNORE_LABEL

_LEAST: float = 1e-6


def class_weights(confidence: Tensor, power: float) -> Tensor:
    """Weights of mean 1, higher where confidence is lower, float [K]; detached.

    w_c = ((1 - s_c) / max_j (1 - s_j))**power, divided by the mean of w. All 1 where all
    confidences are 1, and with a power of 0.

    Args:
        confidence: s, in [0, 1], float [K].
        power: beta, 0 or more.
    """
    doubt = (1 - confidence.detach()).clamp(min=0)
    if power == 0 or float(doubt.max()) <= _LEAST:
        return torch.ones_like(doubt)
    weights = (doubt / doubt.max()) ** power
    return weights / weights.mean()


def confidence_sums(probabilities: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of max-softmax and number of pixels of each class, float64 [K] each.

    Pixels that are ignored or whose probabilities are not finite do not count.

    Args:
        probabilities: float [B, K, h, w].
        label: int64 [B, h, w], 255 where ignored.
    """
    num_classes = probabilities.shape[1]
    highest = probabilities.detach().amax(1).double()
    counted = (label != IGNORE_LABEL) & torch.isfinite(highest)
    classes, values = label[counted], highest[counted]
    sums = torch.zeros(num_classes, dtype=torch.float64, device=label.device)
    counts = torch.zeros_like(sums)
    sums.index_add_(0, classes, values)
    counts.index_add_(0, classes, torch.ones_like(values))
    return sums, counts


class ConfidenceBank(nn.Module):
    """The mean confidence of each class over the steps, as buffers.

    A class without pixels keeps its value. The average of its first n steps is a plain mean, then
    an exponential one: with the momentum alone a run of some hundred steps would never leave 0.

    Args:
        num_classes: K.
        momentum: of the exponential average.
    """

    confidence: Tensor
    updates: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.999) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("confidence", torch.zeros(num_classes))
        self.register_buffer("updates", torch.zeros(num_classes))

    def update(self, sums: Tensor, counts: Tensor) -> None:
        """Adds a step, from sums and counts over all processes, float [K] each."""
        seen = counts > 0
        mean = (sums / counts.clamp(min=1)).to(self.confidence).clamp(0, 1)
        keep = (self.updates / (self.updates + 1)).clamp(max=self.momentum)
        self.confidence.copy_(
            torch.where(seen, keep * self.confidence + (1 - keep) * mean, self.confidence)
        )
        self.updates.add_(seen.to(self.updates))
