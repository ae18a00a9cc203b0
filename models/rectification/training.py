"""Fits field and second opinion on views of labelled images.

IR2F-style reconstruction, with true labels in place of pseudo-labels:

    L = BCE(r, [predicted = true])
        - lambda_m log(r p(true) + (1 - r) b(true)) - lambda_b log b(true)

The first term is the anchor: without it the mixture alone lets r drift. The second is the
rectification-aware mixture: b learns where the first head fails, r where b does better. The third
keeps b to the truth where nobody asks for it: by that one sees whether it knows an image at all
(`models.rectification.opinion`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import LEAST_AGREEMENT, log_odds
from models.rectification.field import FieldInput, FieldShape, ImplicitRectifier
from models.rectification.mixture import rectified_label
from models.rectification.stage import bilinear
from models.rectification.views import LabelledView
from models.threads import single_thread

_CLIP_NORM: Final = 1.0
_WARM_UP_STEPS: Final = 20
_NORMALISED_BY: Final = 64  # views
_SMALL_START: Final = 0.1
_LEAST: Final = 1e-6


@dataclass(frozen=True)
class TrainingSettings:
    """How a rectifier is fitted.

    Attributes:
        steps: optimizer steps.
        views: views in a step.
        points: points of each.
        learning_rate: peak, of AdamW; falls to 0 with a cosine.
        weight_decay: of AdamW.
        mixture_weight: lambda_m; 0 leaves the second opinion out.
        opinion_weight: lambda_b.
        second_head: the second opinion is a head of its own; without it b is 1/K in the mixture
            ("noise mode"), and no label can change.
        anchor_weight: of the first term.
        divergence_weight: lambda_D, of another anchor beside it, exp(-KL(b || p)).
        log_odds: the answer is added to the log odds of max-softmax.
        seed: of weights and order.
    """

    steps: int = 900
    views: int = 4
    points: int = 384
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    mixture_weight: float = 1.0
    opinion_weight: float = 0.03
    second_head: bool = True
    anchor_weight: float = 1.0
    divergence_weight: float = 0.0
    log_odds: bool = True
    seed: int = 0


class FieldInTraining(nn.Module):
    """Field, second opinion and the weights of max-softmax and agreement, with gradients."""

    def __init__(self, shape: FieldShape, settings: TrainingSettings) -> None:
        super().__init__()
        self._settings = settings
        self.field = ImplicitRectifier(shape)
        # At first the answer is max-softmax; the field learns what to change about it.
        last = self.field.rest[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            last.weight.mul_(_SMALL_START)
        gain = torch.tensor(float(settings.log_odds))
        self.confidence_gain = nn.Parameter(gain, requires_grad=settings.log_odds)
        self.agreement_gain = nn.Parameter(torch.tensor(0.0)) if shape.agreement else None
        self.auxiliary = None
        if settings.mixture_weight > 0 and settings.second_head:
            self.auxiliary = AuxiliaryHead(shape.feature_channels, shape.num_classes)

    def logits(self, view: LabelledView) -> Tensor:
        """Logits of r at the points of a view, float [Q], before calibration."""
        points = torch.from_numpy(view.points_yx_px)[None]
        odds = torch.from_numpy(log_odds(view.p_max))
        found: Tensor = self.field(_floats(view.given), points)[0]
        if self.field.shape.per_class:
            own = torch.from_numpy(view.predicted.astype(np.int64))[:, None]
            found = found.gather(1, own)[:, 0]
        found = found + self.confidence_gain * odds
        if self.agreement_gain is not None:
            agreed = torch.from_numpy(log_odds(view.agreement, LEAST_AGREEMENT))
            found = found + self.agreement_gain * agreed
        return found

    def loss(self, view: LabelledView) -> Tensor:
        """The loss over the points of a view, a scalar."""
        settings, logits = self._settings, self.logits(view)
        expected = torch.from_numpy(view.expected)
        anchor = F.binary_cross_entropy_with_logits(logits, expected)
        loss = (settings.anchor_weight if view.anchors else 0.0) * anchor
        if settings.mixture_weight == 0:
            return loss
        if not view.anchors:
            logits = logits.detach()
        given, points = _floats(view.given), torch.from_numpy(view.points_yx_px)
        true = torch.from_numpy(view.true.astype(np.int64))[:, None]
        p = bilinear(given.probabilities, given.probabilities_cover_hw_px, points)
        b = None
        if self.auxiliary is not None:
            b = bilinear(self.auxiliary(given.features), given.features_cover_hw_px, points)
        mixed = rectified_label(logits.sigmoid(), p, b).gather(1, true)
        loss = loss - settings.mixture_weight * mixed.clamp(min=_LEAST).log().mean()
        if b is not None:
            loss = loss - settings.opinion_weight * b.gather(1, true).clamp(min=_LEAST).log().mean()
        if settings.divergence_weight > 0 and b is not None:
            agreed = _closeness(b.detach(), p)
            divergence = F.binary_cross_entropy_with_logits(logits, agreed)
            loss = loss + settings.divergence_weight * divergence
        return loss


@single_thread()
def train_field(
    views: Sequence[LabelledView], shape: FieldShape, settings: TrainingSettings
) -> FieldInTraining:
    """Field and second opinion fitted on views, in evaluation mode.

    Raises:
        ValueError: there are no views.
    """
    if not views:
        raise ValueError("a field is fitted on at least one view")
    rng = np.random.default_rng(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = FieldInTraining(shape, settings)
    _normalise(model, views)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    model.train()
    for step in range(settings.steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        rate *= min(1.0, (step + 1) / _WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        optimizer.zero_grad(set_to_none=True)
        for _ in range(settings.views):
            view = views[int(rng.integers(len(views)))]
            rows = rng.permutation(len(view.true))[: settings.points]
            loss = model.loss(view.take(rows)) / settings.views
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
        optimizer.step()
    return model.eval()


def _closeness(b: Tensor, p: Tensor) -> Tensor:
    """exp(-KL(b || p)) of probabilities [N, K], float [N]."""
    divergence = (b * (b.clamp(min=_LEAST).log() - p.clamp(min=_LEAST).log())).sum(1)
    return torch.exp(-divergence.clamp(min=0))


def _normalise(model: FieldInTraining, views: Sequence[LabelledView]) -> None:
    chosen = views[:: max(1, len(views) // _NORMALISED_BY)]
    values = torch.cat([view.given.features[0].float().flatten(1) for view in chosen], 1)
    mean, deviation = values.mean(1), values.std(1, correction=0)
    model.field.normalise_by(mean, deviation)
    if model.auxiliary is not None:
        model.auxiliary.feature_mean.copy_(model.field.feature_mean)
        model.auxiliary.feature_scale.copy_(model.field.feature_scale)


def _floats(given: FieldInput) -> FieldInput:
    return FieldInput(
        given.features.float(),
        given.features_cover_hw_px,
        given.probabilities.float(),
        given.probabilities_cover_hw_px,
        None if given.agreement is None else given.agreement.float(),
    )
