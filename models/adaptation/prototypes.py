"""One unit vector for each class, and the loss that draws pixels to that of their class.

After the public code of CONFETI (Li et al., "Contrast, Stylize and Adapt", CVPR Workshops 2023;
`cxa9264/CONFETI` at f1167a4 and `cxa9264/CONFETII` at ff9868c). Weights of pixels are confidences
in place of class activation maps, and the average is the second version's, a plain mean at first.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adaptation.pixels import LabelledVectors


def prototype_sums(
    pixels: LabelledVectors, pixel_weights: Tensor, num_classes: int, most: int
) -> tuple[Tensor, Tensor]:
    """Weighted sums of the vectors of each class [K, d], and the sums of weights [K]; detached.

    Only the `most` pixels of largest weight of each class count; of equal ones the first.

    Args:
        pixels: N of them.
        pixel_weights: float [N], at least 0.
        num_classes: K.
        most: of each class.
    """
    weights = pixel_weights.detach().clamp(min=0)
    by_weight = torch.argsort(weights, descending=True, stable=True)
    order = by_weight[torch.argsort(pixels.classes[by_weight], stable=True)]
    classes = pixels.classes[order]
    counts = torch.bincount(classes, minlength=num_classes)
    rank = torch.arange(len(order), device=order.device)
    rank = rank - (counts.cumsum(0) - counts)[classes]
    rows, chosen = order[rank < most], classes[rank < most]
    sums = pixels.vectors.new_zeros(num_classes, pixels.vectors.shape[1])
    totals = weights.new_zeros(num_classes)
    sums.index_add_(0, chosen, pixels.vectors.detach()[rows] * weights[rows, None])
    totals.index_add_(0, chosen, weights[rows])
    return sums, totals


class PrototypeBank(nn.Module):
    """The prototypes as buffers: unit vectors of classes seen, 0 of those not seen yet.

    Args:
        num_classes: K.
        channels: d.
        momentum: the average keeps min(1 - 1 / (n + 1), momentum) of the old after n updates.

    Attributes:
        vectors: float [K, d].
        updates: how many steps each class was seen in, int64 [K].
    """

    vectors: Tensor
    updates: Tensor

    def __init__(self, num_classes: int, channels: int, momentum: float = 0.999) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("vectors", torch.zeros(num_classes, channels))
        self.register_buffer("updates", torch.zeros(num_classes, dtype=torch.int64))

    @property
    def seen(self) -> Tensor:
        """Which classes have a prototype, bool [K]."""
        return self.updates > 0

    def update(self, sums: Tensor, totals: Tensor) -> None:
        """Adds a step, from sums over all processes (`prototype_sums`).

        A class without weight, or whose sum is 0 or not finite, keeps its bits.
        """
        length = sums.norm(dim=1)
        seen = (totals > 0) & (length > 0) & torch.isfinite(length)
        mean = F.normalize(torch.where(seen[:, None], sums, 0.0), dim=1)
        keep = (1 - 1 / (self.updates + 1).float()).clamp(max=self.momentum)[:, None]
        moved = F.normalize(keep * self.vectors + (1 - keep) * mean, dim=1)
        self.vectors.copy_(torch.where(seen[:, None], moved, self.vectors))
        self.updates.add_(seen.long())


def prototype_losses(
    pixels: LabelledVectors, prototypes: Tensor, seen: Tensor, temperature: float
) -> Tensor:
    """-log softmax over the prototypes seen at that of the pixel's class, float [N].

    0 for pixels of a class without prototype. (The public code gives such a class the logit 0.)
    Prototypes get no gradient.

    Args:
        pixels: with gradient.
        prototypes: float [K, d].
        seen: which classes have one, bool [K].
        temperature: tau.
    """
    logits = _logits(pixels.vectors, prototypes, seen, temperature)
    own = logits.gather(1, pixels.classes[:, None])[:, 0]
    with_prototype = seen[pixels.classes]
    # Without any prototype all logits are -inf, and so is their sum.
    losses = torch.where(with_prototype, logits.logsumexp(1), 0.0)
    return losses - torch.where(with_prototype, own, 0.0)


def mean_embedding_regulariser(
    mean_vector: Tensor, prototypes: Tensor, seen: Tensor, temperature: float
) -> Tensor:
    """1 / (C ln C) sum_c log softmax_c(<v, p_c> / tau) of the mean vector v, a scalar.

    -1 where the softmax is uniform, lower where it is peaked: to *minimise* it drives the mean
    embedding away from uniform (the sign of the public code), a negative weight towards it. 0 with
    fewer than two prototypes.

    Args:
        mean_vector: float [d], with gradient.
        prototypes: float [K, d].
        seen: bool [K]; C is the number of classes seen.
        temperature: tau.
    """
    known = prototypes.detach()[seen]
    if len(known) < 2:
        return mean_vector.sum() * 0
    log_shares = (known @ mean_vector / temperature).log_softmax(0)
    return log_shares.sum() / (len(known) * math.log(len(known)))


def _logits(vectors: Tensor, prototypes: Tensor, seen: Tensor, temperature: float) -> Tensor:
    logits = vectors @ prototypes.detach().t() / temperature
    if bool(seen.all()):
        return logits
    # A finite value: of rows that are all masked the gradient is 0 and not NaN.
    return logits.masked_fill(~seen, -1e4)
