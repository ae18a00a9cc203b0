"""CONFETI in a training step: prototypes, contrast, and the style module that learns beside.

Two stages, as in the public code, within one run: in the first the style module learns, held by the
prototypical semantic consistency; in the second it is frozen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.losses import labelled_loss
from models.adaptation.pixels import LabelledVectors, labelled_vectors
from models.adaptation.processes import mean_over_all, process_count, summed
from models.adaptation.projection import Projection
from models.adaptation.prototypes import (
    PrototypeBank,
    mean_embedding_regulariser,
    prototype_losses,
    prototype_sums,
)
from models.adaptation.prototypes_settings import PrototypesSettings
from models.adaptation.resolution import labels_at, upsampled
from models.adaptation.style_losses import semantic_consistency
from models.adaptation.style_module import StyleModule, Translation
from models.adaptation.terms import (
    LossTerm,
    MixedBatch,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.ontology import IGNORE_LABEL

TRANSLATED = "translated"


@dataclass
class _Parts:
    """Weighted losses of a step, and their values for the progress file."""

    weighted: list[Tensor] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, weight: float, loss: Tensor) -> None:
        if weight:
            self.weighted.append(weight * loss)
            self.values[name] = loss.detach()


class Prototypes(LossTerm):
    """Without source images there is no style module, prototypes are those of kept pixels from the
    first step on, and the contrast is of mixed images alone.
    """

    name = "prototypes"

    def __init__(self, settings: PrototypesSettings, context: TermContext) -> None:
        super().__init__(settings.weight)
        self._settings = settings
        self._with_source = context.setting == "uda"
        self.bank = PrototypeBank(context.num_classes, settings.channels, settings.momentum)
        self.projection = Projection(context.feature_channels, settings.channels)
        self.style: StyleModule | None = None
        if self._with_source and settings.style_weight:
            self.style = StyleModule(settings, settings.channels)
        self._translation: Translation | None = None

    def own_optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {} if self.style is None else {"style": self.style.optimizer}

    def extra_inputs(self, inputs: StepInputs, mixed: MixedBatch) -> Mapping[str, Tensor]:
        self._translation = None
        if self.style is None or inputs.source is None:
            return {}
        learning = self._in_first_stage(inputs)
        made = self.style.translate(inputs.source.weak_images, inputs.target.images, learning)
        self._translation = made
        # A leaf: what the segmenter learns of these images does not reach the generator.
        return {TRANSLATED: made.images.detach().requires_grad_(learning)}

    def teacher_looks_at(self) -> Sequence[str]:
        return ("mixed",)

    def forward(self, outputs: StepOutputs) -> TermResult:
        parts = _Parts()
        self._contrast(outputs, parts)
        if self.style is not None and self._translation is not None:
            self._on_translated(outputs, parts)
            if self._in_first_stage(outputs.inputs):
                self._style(outputs, self.style, self._translation, parts)
        loss = torch.stack(parts.weighted).sum() if parts.weighted else _nothing(outputs)
        values = summed(
            torch.stack([v.double() for v in parts.values.values()] or [_nothing(outputs)])
        )
        figures = dict(zip(parts.values, values.tolist(), strict=False))
        return TermResult(loss, {**figures, "seen": float(self.bank.seen.sum())})

    def after_backward(self, outputs: StepOutputs) -> None:
        if self.style is not None and self._in_first_stage(outputs.inputs):
            self.style.step()

    def after_step(self, outputs: StepOutputs) -> None:
        """Prototypes follow the teacher's features of the mixed images."""
        self._translation = None
        mixed, features = outputs.mixed, outputs.teacher["mixed"].features
        labels = mixed.labels
        if self._with_source and outputs.inputs.progress < self._settings.source_share:
            of_source = mixed.pasted & (mixed.reliability >= 1)
            labels = labels.masked_fill(~of_source, IGNORE_LABEL)
        pixels = labelled_vectors(self.projection.slow(features), labels)
        sums, totals = prototype_sums(
            pixels,
            _at(mixed.reliability, features, pixels),
            len(self.bank.vectors),
            self._settings.most_pixels,
        )
        self.bank.update(summed(sums), summed(totals))
        self.projection.follow()

    def _in_first_stage(self, inputs: StepInputs) -> bool:
        return inputs.progress < self._settings.first_stage

    def _contrast(self, outputs: StepOutputs, parts: _Parts) -> None:
        """Pixel-to-prototype losses of mixed images and of source images in target style."""
        settings, mixed = self._settings, outputs.mixed
        features = self.projection(outputs.student_mixed.features)
        pixels = labelled_vectors(features, mixed.labels)
        weights = _at(mixed.weights, features, pixels)
        self._add_contrast("contrast_mixed", pixels, weights, parts)
        if settings.regulariser_weight:
            mean = F.normalize(features, dim=1).mean((0, 2, 3))
            value = mean_embedding_regulariser(
                mean, self.bank.vectors, self.bank.seen, settings.temperature
            )
            parts.add("regulariser", settings.regulariser_weight, value / process_count())
        source = outputs.inputs.source
        look = outputs.extra.get(TRANSLATED, outputs.student_source)
        if source is not None and look is not None:
            pixels = labelled_vectors(self.projection(look.features), source.labels)
            ones = torch.ones(len(pixels), device=source.labels.device)
            self._add_contrast("contrast_source", pixels, ones, parts)

    def _add_contrast(
        self, name: str, pixels: LabelledVectors, weights: Tensor, parts: _Parts
    ) -> None:
        seen = self.bank.seen
        each = prototype_losses(pixels, self.bank.vectors, seen, self._settings.temperature)
        loss = mean_over_all((weights * each).sum(), (weights * seen[pixels.classes]).sum())
        parts.add(name, self._settings.contrast_weight, loss)

    def _on_translated(self, outputs: StepOutputs, parts: _Parts) -> None:
        assert outputs.inputs.source is not None
        look, labels = outputs.extra[TRANSLATED], outputs.inputs.source.labels
        logits = upsampled(look.logits, (labels.shape[1], labels.shape[2]), look.covers_hw_px)
        loss = labelled_loss(logits, labels)
        parts.add("translated", self._settings.translated_weight, loss)

    def _style(
        self, outputs: StepOutputs, style: StyleModule, made: Translation, parts: _Parts
    ) -> None:
        found = style.losses(made, outputs.inputs.generator("style-patches", 0))
        for name, loss in found.items():
            parts.add(name, self._settings.style_weight, loss / process_count())
        if self._settings.consistency_weight:
            loss = self._consistency(outputs, style, made)
            parts.add("consistency", self._settings.consistency_weight, loss / process_count())

    def _consistency(self, outputs: StepOutputs, style: StyleModule, made: Translation) -> Tensor:
        """Prototypical semantic consistency, whose gradient is in generator and embedding alone.

        The segmenter is passed through, so its own gradient has to be left out: the loss is
        differentiated by hand to the images that the segmenter looked at, and goes on from there.
        """
        assert outputs.student_source is not None
        assert outputs.inputs.source is not None
        images = outputs.extra_images[TRANSLATED]
        own = [images, *style.embedding.parameters()]
        embedded = style.embedding(self.projection.frozen(outputs.extra[TRANSLATED].features))
        before = self.projection.frozen(outputs.student_source.features.detach())
        size_hw = (embedded.shape[2], embedded.shape[3])
        scale = 1 / self._settings.temperature
        loss = semantic_consistency(
            scale * F.normalize(before, dim=1),
            scale * F.normalize(embedded, dim=1),
            self.bank.vectors,
            labels_at(outputs.inputs.source.labels, size_hw) != IGNORE_LABEL,
        )
        slopes = torch.autograd.grad(loss, own, retain_graph=True)
        linear = torch.stack(
            [
                (value * slope).sum()
                for value, slope in zip([made.images, *own[1:]], slopes, strict=True)
            ]
        ).sum()
        return loss.detach() + linear - linear.detach()


def _at(values: Tensor, features: Tensor, pixels: LabelledVectors) -> Tensor:
    """Values [B, H, W] at the cells of vectors, [N]."""
    return labels_at(values, (features.shape[2], features.shape[3])).flatten()[pixels.cells]


def _nothing(outputs: StepOutputs) -> Tensor:
    return torch.zeros((), device=outputs.mixed.weights.device)
