"""How far the second opinion can be trusted in an image, without any label.

b is learnt from labelled images of the source. In a place unlike those it is as sure as ever and
mostly wrong, which shows where the segmenter is sure: there the two agree, or b knows nothing of
this image. (Measured on other streets of the source; docs/benchmarks.md.)
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

USELESS_BELOW: Final = 0.6
FULL_FROM: Final = 0.75
"""Agreement below which b has no weight, and from which it has its whole weight."""


def opinion_weight(probabilities: Tensor, opinion: Tensor) -> float:
    """Weight of the second opinion in an image, from 0 to 1.

    The share of the cells whose class both give, of the half of the cells in which the segmenter is
    surest, between `USELESS_BELOW` (0) and `FULL_FROM` (1).

    Args:
        probabilities: p in cells, float [1, K, h2, w2].
        opinion: b on the grid of the features, float [1, K, h, w], over the same image.
    """
    sure, predicted = probabilities[0].max(0)
    resized = F.interpolate(opinion, sure.shape, mode="bilinear", align_corners=False)
    agrees = resized[0].argmax(0) == predicted
    agreement = float(agrees[sure >= sure.median()].float().mean())
    return min(1.0, max(0.0, (agreement - USELESS_BELOW) / (FULL_FROM - USELESS_BELOW)))


def weighed(opinion: Tensor, probabilities: Tensor, weight: float) -> Tensor:
    """b with the weight that it deserves, the rest being p: float [1, K, h, w].

    Args:
        opinion: b, float [1, K, h, w].
        probabilities: p, float [1, K, h2, w2].
        weight: of b, from 0 to 1.
    """
    if weight >= 1:
        return opinion
    own = F.interpolate(probabilities, opinion.shape[2:], mode="bilinear", align_corners=False)
    return torch.lerp(own, opinion, weight)
