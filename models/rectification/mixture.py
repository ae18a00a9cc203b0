"""A rectification-aware mixture: labels and losses in which the reliability r is a mixing weight.

IR2F-style reconstruction: the abstract of IR2F names a "rectification-aware mixture model" and no
formula, so this one is ours. With r = sigmoid(s), p the softmax of the main head's logits z_p, and
b the softmax of an auxiliary head's logits z_a, or 1/K without one ("noise mode"):

* the rectified label is r p + (1 - r) b, the mean of the mixture;
* an observed label y has the likelihood m(y) = r p(y) + (1 - r) b(y) and costs -log m(y);
* g = r p(y) / m(y) is the posterior probability that the main head explains it (the
  responsibility), and the gradients are r - g in s, g (p - e_y) in z_p, (1 - g) (b - e_y) in z_a.

A label that the main head explains badly thus pulls it little, and pulls r down to g. In noise mode
the loss alone drives r to 1, since any p(y) above 1/K raises it: r needs labels of its own, an
anchor. Against a student that has learnt y by heart a binary cross-entropy of weight w leaves a
wrong label r = max(0, K / (1 + w) - 1) / (K - 1), where r - g + w r = 0: 0 from w = K - 1 on.

Labels are int64 [...], 255 where ignored; class logits are float [..., K], the class last.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE = 255


def rectified_label(reliability: Tensor, teacher: Tensor, fallback: Tensor | None = None) -> Tensor:
    """Soft labels r p + (1 - r) b, float [..., K]; exactly p where r is 1 and b where it is 0.

    Args:
        reliability: r in [0, 1], float [...].
        teacher: p, probabilities, float [..., K].
        fallback: b, probabilities, float [..., K]; 1/K if None.
    """
    r = reliability[..., None]
    other = torch.full_like(teacher, 1 / teacher.shape[-1]) if fallback is None else fallback
    return r * teacher + (1 - r) * other


@dataclass(frozen=True, eq=False)
class Mixture:
    """The mixture at labelled points. Where a label is ignored all values are 0.

    Attributes:
        loss: -log m(y), float [...].
        responsibility: g, the share of the main head in m(y), float [...].
        counted: which labels are not ignored, bool [...].
    """

    loss: Tensor
    responsibility: Tensor
    counted: Tensor

    def mean_loss(self) -> Tensor:
        """Mean over the labels that count, float []; 0 if there are none."""
        return self.loss.sum() / self.counted.sum().clamp(min=1)


def mixture(
    reliability_logits: Tensor,
    main_logits: Tensor,
    label: Tensor,
    auxiliary_logits: Tensor | None = None,
) -> Mixture:
    """Loss and responsibility, in logarithms throughout so that no logit overflows.

    Args:
        reliability_logits: s, float [...].
        main_logits: z_p, float [..., K].
        label: y, int64 [...].
        auxiliary_logits: z_a, float [..., K]; noise mode if None.
    """
    counted = label != IGNORE
    index = torch.where(counted, label, 0)[..., None]
    by_main = F.logsigmoid(reliability_logits) + _log_probability(main_logits, index)
    by_other = F.logsigmoid(-reliability_logits)
    if auxiliary_logits is None:
        by_other = by_other - math.log(main_logits.shape[-1])
    else:
        by_other = by_other + _log_probability(auxiliary_logits, index)
    loss = -torch.logaddexp(by_main, by_other)
    responsibility = torch.sigmoid(by_main - by_other)
    return Mixture(
        torch.where(counted, loss, 0.0), torch.where(counted, responsibility, 0.0), counted
    )


def reliability_gradient(reliability_logits: Tensor, found: Mixture) -> Tensor:
    """Gradient of the summed loss in s, r - g, float [...]."""
    r = torch.sigmoid(reliability_logits)
    return torch.where(found.counted, r - found.responsibility, 0.0)


def main_gradient(main_logits: Tensor, label: Tensor, found: Mixture) -> Tensor:
    """Gradient of the summed loss in z_p, g (p - e_y), float [..., K]."""
    return found.responsibility[..., None] * _excess(main_logits, label, found.counted)


def auxiliary_gradient(auxiliary_logits: Tensor, label: Tensor, found: Mixture) -> Tensor:
    """Gradient of the summed loss in z_a, (1 - g) (b - e_y), float [..., K]."""
    rest = torch.where(found.counted, 1 - found.responsibility, 0.0)
    return rest[..., None] * _excess(auxiliary_logits, label, found.counted)


def _log_probability(logits: Tensor, index: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(-1, index)[..., 0]


def _excess(logits: Tensor, label: Tensor, counted: Tensor) -> Tensor:
    """Probabilities less the one-hot label; of ignored labels whatever."""
    one_hot = F.one_hot(torch.where(counted, label, 0), logits.shape[-1])
    return logits.softmax(-1) - one_hot
