"""IR2F's mixture in a training step: auxiliary head and field of reliability learn with the model.

IR2F-style reconstruction; the loss is the digest's section 2.4 with the base's cross-entropies in
place of CE(p, y):

    lambda_m L_mix + SCE(r p' + (1 - r) b', p) + ½ SCE(…, b) + ½ CE(b, y_s) + lambda_r L_R

p and b are the student's two heads, p' and b' the teacher's; r is asked in the frame of the target
image before anything is pasted, and is about the class that the teacher predicts there.
"""

import copy
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.calibration_sample import CalibrationSample
from models.adaptation.losses import labelled_loss
from models.adaptation.processes import mean_over_all, summed
from models.adaptation.resolution import upsampled
from models.adaptation.rmm_settings import RmmSettings
from models.adaptation.terms import (
    Dense,
    LossTerm,
    ResultParts,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.ontology import IGNORE_LABEL
from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import PlattScaling
from models.rectification.field import FieldInput, FieldShape
from models.rectification.mixture import mixture, rectified_label
from models.rectification.rectifier import Rectifier, weights_digest
from models.rectification.sampling import at_points, draw_points
from models.rectification.styles import strongly_restyled
from models.rectification.training import FieldInTraining, TrainingSettings
from models.segmentation.base import SegmentationModel

RESTYLED = "restyled"
_LEAST = 1e-6
_LEARNING_RATE_FACTOR = 2.0
_FULL_TRUST = 20.0
_AUXILIARY_MOMENTUM = 0.99


@dataclass(frozen=True, eq=False)
class Points:
    """What is known at Q points of each image.

    Attributes:
        yx_px: float [B, Q, 2].
        logits: of r for the class that the teacher predicts, float [B, Q], with gradient.
        predicted: that class, int64 [B, Q].
        teacher: its probabilities, float [B, Q, K].
    """

    yx_px: Tensor
    logits: Tensor
    predicted: Tensor
    teacher: Tensor


class Rmm(LossTerm):
    """Joint training of segmenter, auxiliary head and field. In `source_free` and `black_box` r is
    anchored in the agreement of both heads alone, and is not calibrated.
    """

    name = "rmm"

    def __init__(self, settings: RmmSettings, context: TermContext) -> None:
        super().__init__(settings.weight)
        self._settings, self._context = settings, context
        channels, classes = context.feature_channels, context.num_classes
        shape = FieldShape(channels, classes, reduced_channels=settings.reduced_channels)
        self.reliability = FieldInTraining(shape, TrainingSettings(mixture_weight=0.0))
        self.auxiliary = AuxiliaryHead(channels, classes)
        self.slow_auxiliary = copy.deepcopy(self.auxiliary).requires_grad_(False)
        self.calibration = CalibrationSample()
        self.normalised: Tensor
        self.register_buffer("normalised", torch.zeros((), dtype=torch.bool))
        self._of_source: Points | None = None

    def teacher_inputs(self, inputs: StepInputs) -> Mapping[str, Tensor]:
        """The source images in a style of this step, the same for all.

        Under the recipe's own augmentation, which it has learnt from, the teacher hardly errs; and
        a style an image, as there, would leave errors that batch statistics of a domain mend.
        """
        if inputs.source is None:
            return {}
        return {RESTYLED: _restyled(inputs.source.weak_images, inputs)}

    def learning_rate_factor(self) -> float:
        return _LEARNING_RATE_FACTOR

    def forward(self, outputs: StepOutputs) -> TermResult:
        settings, inputs = self._settings, outputs.inputs
        self._normalise(inputs.teacher.features)
        size_hw = _size_hw(inputs.target.images)
        trust = _FULL_TRUST * (1 - self._ramp(inputs.progress))
        points = self._points(inputs.teacher, size_hw, inputs, "rmm-target")
        other = self._at(self._auxiliary_logits(outputs.student_mixed.features),
                         outputs.student_mixed, size_hw, points)  # fmt: skip
        main = self._at(outputs.student_mixed.logits, outputs.student_mixed, size_hw, points)
        slow = self._slow_opinion(inputs.teacher, size_hw, points)
        losses = {
            "mixture": settings.mixture_weight * self._mixture(outputs, points, main, other, trust),
            "soft": settings.soft_weight * self._soft(outputs, points, slow, main, other, trust),
            "auxiliary": settings.auxiliary_weight * self._auxiliary_loss(outputs),
            "anchor": settings.anchor_weight * self._anchor(outputs, points, slow, size_hw),
        }
        shares = torch.stack([loss.detach().double() for loss in losses.values()])
        figures = dict(zip(losses, summed(shares).tolist(), strict=True))
        r = points.logits.detach().sigmoid()
        total = summed(torch.stack([r.double().sum(), r.new_tensor(r.numel()).double()]))
        figures["mean_r"] = float(total[0] / total[1])
        return TermResult(torch.stack(list(losses.values())).sum(), figures)

    def after_step(self, outputs: StepOutputs) -> None:
        """The slow auxiliary head follows; answers about held-out images are kept."""
        keep = min(1 - 1 / (outputs.inputs.step + 1), _AUXILIARY_MOMENTUM)
        with torch.no_grad():
            pairs = zip(self.slow_auxiliary.parameters(), self.auxiliary.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - keep)
        source, points = outputs.inputs.source, self._of_source
        self._of_source = None
        if source is None or points is None:
            return
        if outputs.inputs.progress < self._settings.calibrated_from:
            return
        # The first half of the points is drawn from the whole image.
        first = points.yx_px.shape[1] - points.yx_px.shape[1] // 2
        labels = at_points(source.labels, points.yx_px)
        counted = self._held_out(source.ids, labels)[:, None] & (labels != IGNORE_LABEL)
        counted = counted & (torch.arange(labels.shape[1], device=labels.device) < first)
        self.calibration.add(points.logits[counted], (points.predicted == labels)[counted])

    def result_parts(self, teacher: SegmentationModel) -> ResultParts:
        """The rectifier of the teacher; calibrated if held-out source pixels could do it."""
        found = self.calibration.calibration()
        rectifier = Rectifier(
            copy.deepcopy(self.reliability.field).cpu().eval().requires_grad_(False),
            copy.deepcopy(self.slow_auxiliary).cpu().eval(),
            float(self.reliability.confidence_gain.detach()),
            found or PlattScaling(),
            tuple(c.name for c in self._context.ontology.classes),
            weights_digest(teacher),
            calibrated=found is not None,
        )
        return ResultParts(rectifier=rectifier)

    def _ramp(self, progress: float) -> float:
        """0 while r counts as 1, 1 from where it counts as it is."""
        first, last = self._settings.full_until, self._settings.mixed_from
        if progress >= last:
            return 1.0
        return max(0.0, (progress - first) / max(last - first, _LEAST))

    @torch.no_grad()
    def _normalise(self, features: Tensor) -> None:
        """Once, in the first step: by the teacher's features of all processes."""
        if bool(self.normalised):
            return
        values = features.double().transpose(0, 1).flatten(1)
        values = torch.where(torch.isfinite(values), values, 0.0)
        sums = torch.stack([values.sum(1), values.square().sum(1)])
        count = summed(values.new_tensor(values.shape[1]))
        mean, square = summed(sums) / count
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        self.reliability.field.normalise_by(mean, deviation)
        for head in (self.auxiliary, self.slow_auxiliary):
            head.feature_mean.copy_(self.reliability.field.feature_mean)
            head.feature_scale.copy_(self.reliability.field.feature_scale)
        self.normalised.fill_(True)

    def _points(
        self, look: Dense, size_hw: tuple[int, int], inputs: StepInputs, purpose: str
    ) -> Points:
        """Points of images that the teacher looked at, and r there."""
        probabilities = upsampled(look.logits, size_hw, look.covers_hw_px).softmax(1)
        p_max, predicted = probabilities.max(1)
        yx_px = torch.cat(
            [
                draw_points(predicted[i : i + 1], self._settings.points,
                            inputs.generator(purpose, i))
                for i in range(len(predicted))
            ]
        )  # fmt: skip
        cover = _cover(look, size_hw)
        given = FieldInput(
            torch.nan_to_num(look.features), cover, torch.nan_to_num(look.logits).softmax(1), cover
        )
        p_max = at_points(p_max, yx_px).clamp(_LEAST, 1 - _LEAST)
        logits = self.reliability.field(given, yx_px)
        logits = logits + self.reliability.confidence_gain * torch.logit(p_max)
        teacher = at_points(probabilities, yx_px)
        return Points(yx_px, logits, at_points(predicted, yx_px), teacher)

    def _auxiliary_logits(self, features: Tensor) -> Tensor:
        return self.auxiliary.logits(features)

    def _slow_opinion(self, look: Dense, size_hw: tuple[int, int], points: Points) -> Tensor:
        """b', probabilities float [B, Q, K]."""
        with torch.no_grad():
            return self._at(
                self.slow_auxiliary.logits(look.features), look, size_hw, points
            ).softmax(-1)

    def _at(self, values: Tensor, look: Dense, size_hw: tuple[int, int], points: Points) -> Tensor:
        """Maps [B, K, h, w] of a look at points, bilinear, float [B, Q, K]."""
        cover = points.yx_px.new_tensor(_cover(look, size_hw))
        places = (2 * points.yx_px / cover - 1).flip(-1).to(values)
        found = F.grid_sample(
            values, places[:, :, None], padding_mode="border", align_corners=False
        )
        return found[..., 0].transpose(1, 2)

    def _mixture(
        self, outputs: StepOutputs, points: Points, main: Tensor, other: Tensor, trust: float
    ) -> Tensor:
        """-log(r p(y) + (1 - r) b(y)) of the labels of the mixed images.

        Where the label is not the teacher's class, or was pasted, its own r of the label set takes
        the place of the field's, which is about another class or another image.
        """
        mixed = outputs.mixed
        labels = at_points(mixed.labels, points.yx_px)
        pasted = at_points(mixed.pasted, points.yx_px)
        given = at_points(mixed.reliability, points.yx_px).clamp(_LEAST, 1 - _LEAST)
        own = ~pasted & (labels == points.predicted)
        logits = torch.where(own, points.logits + trust, torch.logit(given) + trust)
        counted = at_points(mixed.weights, points.yx_px) > 0
        labels = labels.masked_fill(~counted, IGNORE_LABEL)
        return _mean(mixture(logits, main, labels, other).loss)

    def _soft(
        self,
        outputs: StepOutputs,
        points: Points,
        slow: Tensor,
        main: Tensor,
        other: Tensor,
        trust: float,
    ) -> Tensor:
        """Cross-entropies with the rectified labels where nothing was pasted."""
        r = (points.logits + trust).sigmoid().detach()
        rectified = rectified_label(r, points.teacher, slow)
        below = ~at_points(outputs.mixed.pasted, points.yx_px)
        loss = -(rectified * main.log_softmax(-1)).sum(-1)
        second = -(rectified * other.log_softmax(-1)).sum(-1)
        loss = loss + self._settings.auxiliary_weight * second
        return _mean(torch.where(below, loss, 0.0))

    def _auxiliary_loss(self, outputs: StepOutputs) -> Tensor:
        """Cross-entropy of the auxiliary head on source labels."""
        source, look = outputs.inputs.source, outputs.student_source
        if source is None or look is None:
            return torch.zeros((), device=outputs.mixed.weights.device)
        logits = self._auxiliary_logits(look.features)
        size_hw = _size_hw(source.images)
        return labelled_loss(upsampled(logits, size_hw, look.covers_hw_px), source.labels)

    def _anchor(
        self, outputs: StepOutputs, points: Points, slow: Tensor, size_hw: tuple[int, int]
    ) -> Tensor:
        """What r learns from: right or wrong on source, agreement of both heads on target."""
        agreement = torch.exp(-_divergence(slow, points.teacher))
        loss = _mean(F.binary_cross_entropy_with_logits(points.logits, agreement, reduction="none"))
        source = outputs.inputs.source
        if source is None:
            return loss
        of_source = self._points(outputs.teacher[RESTYLED], size_hw, outputs.inputs, "rmm-source")
        self._of_source = of_source
        labels = at_points(source.labels, of_source.yx_px)
        right = (of_source.predicted == labels).to(of_source.logits)
        fitted = ~self._held_out(source.ids, labels)[:, None] & (labels != IGNORE_LABEL)
        each = F.binary_cross_entropy_with_logits(of_source.logits, right, reduction="none")
        on_source = mean_over_all(torch.where(fitted, each, 0.0).sum(), fitted.sum().double())
        return on_source + self._settings.agreement_weight * loss

    def _held_out(self, ids: Sequence[str], like: Tensor) -> Tensor:
        """Which source images calibrate, bool [B]; a property of the image's name."""
        chosen = [zlib.crc32(name.encode()) % self._settings.held_out == 0 for name in ids]
        return torch.tensor(chosen, device=like.device)


def _restyled(images: Tensor, inputs: StepInputs) -> Tensor:
    """Images [B, 3, H, W] under `strongly_restyled`, with the draws of this step for each."""
    pixels = (images.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    made = np.stack([strongly_restyled(each, inputs.rng("rmm-style")) for each in pixels])
    return torch.from_numpy(made).to(images.device).permute(0, 3, 1, 2).float() / 255


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of probabilities, float [...]."""
    ratio = p.clamp(min=_LEAST).log() - q.clamp(min=_LEAST).log()
    return (p * ratio).sum(-1).clamp(min=0)


def _mean(each: Tensor) -> Tensor:
    return mean_over_all(each.sum(), each.new_tensor(float(each.numel())))


def _cover(look: Dense, size_hw: tuple[int, int]) -> tuple[float, float]:
    height, width = look.covers_hw_px or size_hw
    return float(height), float(width)


def _size_hw(images: Tensor) -> tuple[int, int]:
    return int(images.shape[-2]), int(images.shape[-1])
