"""The loss of `pull.py` in a training step: draws, projections, and the weights of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.adaptation.pixels import LabelledVectors, labelled_vectors
from models.adaptation.processes import process_count, summed
from models.adaptation.projection import Projection
from models.adaptation.pull import POSITIVES, draw_contrast, pull_loss
from models.adaptation.resolution import labels_at
from models.adaptation.reweighting import ConfidenceBank, class_weights, confidence_sums
from models.adaptation.styled_source import (
    check_translation,
    needs_source,
    source_of,
    styled_name,
    styled_source,
)
from models.adaptation.terms import (
    Dense,
    LossTerm,
    MixedBatch,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.config_checks import check, is_integer, is_number

DIRECTIONS: Final = ("target_to_source", "source_to_target", "both")
KEYS: Final = ("student", "teacher")


@dataclass(frozen=True)
class PullSettings:
    """Settings of the term `pull`.

    Attributes:
        weight: lambda.
        temperature: tau.
        queries_of_class: M, at most, in each process.
        negatives: N of each query.
        power: beta of the re-weighting; 0 weighs all classes alike.
        confidence_momentum: of the classes' mean confidences.
        direction: what is pulled where; "target_to_source" is the method.
        keys: whose features the keys are: the student's, as they are in this step, or the
            teacher's, for two more looks.
        positives: see `pull.POSITIVES`.
        channels: of the projection; 0 compares the features themselves.
        engine, window_share: of the translation, see `translation.py`.
    """

    weight: float = 0.1
    temperature: float = 0.2
    queries_of_class: int = 128
    negatives: int = 512
    power: float = 0.5
    confidence_momentum: float = 0.999
    direction: str = "target_to_source"
    keys: str = "student"
    positives: str = "centre"
    channels: int = 64
    engine: str = "both"
    window_share: float = 0.01

    def __post_init__(self) -> None:
        for name, least, most in (
            ("weight", 0, 1e3),
            ("temperature", 1e-3, 1e3),
            ("power", 0, 100),
            ("confidence_momentum", 0, 1),
        ):
            what = f"a number from {least} to {most:g}"
            check(is_number(getattr(self, name), least, most), name, what)
        for name, lowest, highest in (
            ("queries_of_class", 1, 1 << 16),
            ("negatives", 1, 1 << 16),
            ("channels", 0, 4096),
        ):
            what = f"an integer from {lowest} to {highest}"
            check(is_integer(getattr(self, name), lowest, highest), name, what)
        for name, known in (("direction", DIRECTIONS), ("keys", KEYS), ("positives", POSITIVES)):
            check(getattr(self, name) in known, name, "one of " + ", ".join(known))
        check_translation(self.engine, self.window_share)


class Pull(LossTerm):
    """T2S-DA, reconstructed. Draws are of each process's own pixels; classes weigh alike in all.

    Raises:
        ConfigError: the setting has no source images.
    """

    name = "pull"

    def __init__(self, settings: PullSettings, context: TermContext) -> None:
        super().__init__(settings.weight)
        needs_source(self.name, context)
        self._settings = settings
        self._styled = styled_name(settings.engine, settings.window_share)
        self.bank = ConfidenceBank(context.num_classes, settings.confidence_momentum)
        self.projection = Projection(context.feature_channels, settings.channels)

    def extra_inputs(self, inputs: StepInputs, mixed: MixedBatch) -> Mapping[str, Tensor]:
        return styled_source(inputs, self._settings.engine, self._settings.window_share)

    def teacher_looks_at(self) -> Sequence[str]:
        return ("source", self._styled) if self._settings.keys == "teacher" else ()

    def forward(self, outputs: StepOutputs) -> TermResult:
        settings, generator = self._settings, outputs.inputs.generator(self.name, 0)
        assert outputs.student_source is not None
        looks = {"source": outputs.student_source, self._styled: outputs.extra[self._styled]}
        given = looks if settings.keys == "student" else outputs.teacher
        labels = source_of(outputs.inputs).labels
        keys = {name: self._keys(given[name], labels) for name in looks}
        weights = class_weights(self.bank.confidence, settings.power)
        losses = []
        for queried, compared in self._directions():
            queries = labelled_vectors(self.projection(looks[queried].features), labels)
            losses.append(self._loss(queries, keys[compared], keys[queried], weights, generator))
        loss = torch.stack(losses).mean() / process_count()
        figures = {
            "least_confidence": float(self.bank.confidence.min()),
            "largest_weight": float(weights.max()),
        }
        return TermResult(loss, figures)

    def after_step(self, outputs: StepOutputs) -> None:
        """Confidences of the source by its labels, and of the target by its pseudo-labels."""
        assert outputs.student_source is not None
        inputs = outputs.inputs
        totals = [
            torch.stack(confidence_sums(look.logits.detach().softmax(1), _at_logits(labels, look)))
            for look, labels in (
                (outputs.student_source, source_of(inputs).labels),
                (inputs.teacher, outputs.pseudo.labels),
            )
        ]
        sums, counts = summed(totals[0] + totals[1])
        self.bank.update(sums, counts)
        self.projection.follow()

    def _keys(self, look: Dense, labels: Tensor) -> LabelledVectors:
        return labelled_vectors(self.projection.slow(look.features.detach()), labels)

    def _directions(self) -> list[tuple[str, str]]:
        """Whose pixels ask, and whose answer."""
        both = [(self._styled, "source"), ("source", self._styled)]
        chosen = {"target_to_source": both[:1], "source_to_target": both[1:], "both": both}
        return chosen[self._settings.direction]

    def _loss(
        self,
        queries: LabelledVectors,
        compared: LabelledVectors,
        own: LabelledVectors,
        weights: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        settings = self._settings
        draws = draw_contrast(
            queries.classes,
            compared.classes,
            own.classes,
            len(weights),
            settings.queries_of_class,
            settings.negatives,
            generator,
        )
        return pull_loss(
            queries, compared, own, draws, weights, settings.temperature, settings.positives
        )


def _at_logits(labels: Tensor, look: Dense) -> Tensor:
    return labels_at(labels, (look.logits.shape[2], look.logits.shape[3]))
