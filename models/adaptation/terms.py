"""How a method joins the training step: a loss, and hooks where a loss is not enough.

The order of a step, and where a term is asked:

    batches are drawn ─▶ teacher looks at the target ─▶ pseudo-labels ─▶ `adjust_pseudo`
    ─▶ class mix ─▶ `adjust_mixed` ─▶ strong augmentation ─▶ `extra_inputs`
    ─▶ student looks at source, mixed and extra images ─▶ teacher looks at what `teacher_looks_at`
    and `teacher_inputs` ask for ─▶ `forward` of each term ─▶ one backward pass of the weighted sum
    ─▶ `after_backward` ─▶ optimiser step ─▶ teacher follows ─▶ `after_step`

Shapes: B samples of this process, K classes, H x W the crop; logits and features [B, K, h, w] and
[B, C, h2, w2] as the network gives them, commonly at stride 4. Images are float32 [B, 3, H, W] RGB
in [0, 1]. Labels are int64 [B, H, W], 255 where there is none. Nothing here may be changed in
place: return new objects (`dataclasses.replace`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.adaptation.data import TargetSamples
from models.adaptation.randomness import keyed_generator, keyed_rng
from models.ontology import IGNORE_LABEL, Ontology
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationModel


@dataclass(frozen=True, eq=False)
class Dense:
    """What a network gives for images.

    Attributes:
        logits: float [B, K, h, w].
        features: float [B, C, h2, w2], from which the classes were computed.
        covers_hw_px: input pixels that `logits` spans; None means exactly those of the images.
    """

    logits: Tensor
    features: Tensor
    covers_hw_px: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class SourceBatch:
    """Labelled source samples.

    Attributes:
        ids: of the images.
        images: strongly augmented, what the student looks at.
        labels: see the head of this file.
        weak_images: the same pixels before they were recoloured.
    """

    ids: tuple[str, ...]
    images: Tensor
    labels: Tensor
    weak_images: Tensor


@dataclass(frozen=True, eq=False)
class TargetBatch:
    """Target samples, cropped, zoomed and mirrored, but not recoloured ("weak").

    Attributes:
        ids: of the images.
        images: see the head of this file.
        labels: the frozen label set of the round, 255 where nothing was kept.
        reliability: r of these labels in [0, 1], float32 [B, H, W]; 0 where ignored.
        image_weights: float32 [B], of the label set.
        reviewed: whether people have looked at the label, bool [B].
        rejected: pixels of regions that the label path rejected, bool [B, H, W].
    """

    ids: tuple[str, ...]
    images: Tensor
    labels: Tensor
    reliability: Tensor
    image_weights: Tensor
    reviewed: Tensor
    rejected: Tensor


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """What the student is to learn about the target samples.

    Attributes:
        labels: frozen labels and, where these leave a hole and the teacher is sure, the teacher's.
        weights: of each pixel in the loss, float32 [B, H, W]; 0 where `labels` is 255.
        reliability: r of `labels`, float32 [B, H, W]; 0 where ignored.
        probabilities: of the teacher, float32 [B, K, H, W], without gradient.
    """

    labels: Tensor
    weights: Tensor
    reliability: Tensor
    probabilities: Tensor

    @property
    def kept(self) -> Tensor:
        """Where there is a label, bool [B, H, W]."""
        return self.labels != IGNORE_LABEL


@dataclass(frozen=True, eq=False)
class MixedBatch:
    """Target samples with classes of other images pasted in.

    Attributes:
        images: before `adjust_mixed` weak, in `StepOutputs` strongly augmented.
        labels, weights, reliability: as in `PseudoLabels`; pasted ground truth has weight 1 and
            reliability 1.
        pasted: which pixels were pasted in, bool [B, H, W].
        soft_targets: teacher's probabilities of the pixels below, float32 [B, K, H, W]; not to be
            used where `pasted`.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    reliability: Tensor
    pasted: Tensor
    soft_targets: Tensor

    @property
    def kept(self) -> Tensor:
        return self.labels != IGNORE_LABEL


@dataclass(frozen=True, eq=False)
class StepInputs:
    """All that is known before the student looks.

    Attributes:
        step: from 0.
        steps: of the whole run.
        seed: of the run.
        places: number of each sample in this step over all processes, for keyed draws.
        target: weak target samples.
        teacher: what the teacher gives for them, without gradient.
        source: labelled source samples; None in `source_free` and `black_box`.
    """

    step: int
    steps: int
    seed: int
    places: tuple[int, ...]
    target: TargetBatch
    teacher: Dense
    source: SourceBatch | None = None

    @property
    def progress(self) -> float:
        """Share of the run that lies behind, in [0, 1)."""
        return self.step / self.steps

    def rng(self, purpose: str, sample: int | None = None) -> np.random.Generator:
        """Keyed by (seed, purpose, step) and, if `sample` (0..B-1) is given, its place.

        Without `sample` every process draws the same.
        """
        return keyed_rng(self.seed, purpose, *self._key(sample))

    def generator(self, purpose: str, sample: int | None = None) -> torch.Generator:
        """As `rng`, for torch, on the CPU."""
        return keyed_generator(self.seed, purpose, *self._key(sample))

    def _key(self, sample: int | None) -> tuple[int, ...]:
        return (self.step,) if sample is None else (self.step, self.places[sample])


@dataclass(frozen=True, eq=False)
class StepOutputs:
    """All that a loss may look at.

    Attributes:
        inputs: of the step.
        pseudo: labels of the weak target samples.
        mixed: what the student saw of the target.
        student_mixed: what it made of it, with gradient.
        student_source: and of the source, with gradient; None without source.
        extra: what the student made of the images of `extra_inputs`, by name, with gradient.
        teacher: what the teacher gives for the images named in `teacher_looks_at` and for those of
            `teacher_inputs`, by name, without gradient; "target" is always there.
        extra_images: the images of `extra_inputs`, by name.
    """

    inputs: StepInputs
    pseudo: PseudoLabels
    mixed: MixedBatch
    student_mixed: Dense
    student_source: Dense | None = None
    extra: Mapping[str, Dense] = field(default_factory=dict)
    teacher: Mapping[str, Dense] = field(default_factory=dict)
    extra_images: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TermResult:
    """What a term says about a step.

    Attributes:
        loss: float [], this process's share of the loss over all (see `processes.mean_over_all`);
            shares are added up. Weighted by the caller with `LossTerm.weight`.
        figures: name -> number for the progress file, already over all processes.
    """

    loss: Tensor
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TermContext:
    """What a term knows when it is built.

    Attributes:
        setting: "uda", "source_free" or "black_box".
        ontology: of the model.
        feature_channels: C of the features.
        steps, seed: of the run.
        device: on which it trains.
    """

    setting: str
    ontology: Ontology
    feature_channels: int
    steps: int
    seed: int
    device: torch.device

    @property
    def num_classes(self) -> int:
        return self.ontology.num_classes


@dataclass(frozen=True, eq=False)
class ResultParts:
    """What a term adds to the final bundle."""

    rectifier: Rectifier | None = None


class LossTerm(nn.Module):
    """A method's loss. Its parameters are trained by the run's optimiser and its parameters and
    buffers are in the checkpoints; what does not stand in them does not survive a kill.

    A subclass gives `name` and `forward(outputs) -> TermResult`, and overrides the hooks that it
    needs. A term of weight 0 is never built, so it cannot change the base run.

    Attributes:
        name: in recipes, progress and figures.
        weight: of its loss.
    """

    name: str
    weight: float

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, outputs: StepOutputs) -> TermResult:
        raise NotImplementedError

    # Hooks, in the order in which they are called.

    def prepare(self, target: TargetSamples) -> None:
        """Called once before the first step, also after a resume, with all target samples."""

    def adjust_pseudo(self, pseudo: PseudoLabels, inputs: StepInputs) -> PseudoLabels:
        """Other labels or weights of the target samples, before anything is mixed."""
        return pseudo

    def adjust_mixed(self, mixed: MixedBatch, inputs: StepInputs) -> MixedBatch:
        """Further things pasted into the mixed images, before strong augmentation."""
        return mixed

    def extra_inputs(self, inputs: StepInputs, mixed: MixedBatch) -> Mapping[str, Tensor]:
        """Further images that the student shall look at, by a name that no other term uses.

        A gradient flows from what the student makes of them into images that have one.
        """
        return {}

    def teacher_looks_at(self) -> Sequence[str]:
        """Of "source", "mixed" and names of extra images: what the teacher shall look at too."""
        return ()

    def teacher_inputs(self, inputs: StepInputs) -> Mapping[str, Tensor]:
        """Images that the teacher alone shall look at, by a name that no other term uses.

        Each name is a batch of its own, with batch statistics of its own.
        """
        return {}

    def after_backward(self, outputs: StepOutputs) -> None:
        """For parts with optimisers of their own (`own_optimizers`), which are stepped here.

        Their gradients are this process's alone; see `processes.add_up_gradients`.
        """

    def after_step(self, outputs: StepOutputs) -> None:
        """Buffers that follow, for example prototypes."""

    def own_optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Optimisers that this term steps itself; they are in the checkpoints.

        Their parameters are left out of the run's optimiser.
        """
        return {}

    def learning_rate_factor(self) -> float:
        """Of the run's learning rate, for this term's parameters."""
        return 1.0

    def result_parts(self, teacher: SegmentationModel) -> ResultParts:
        """What goes into the final bundle beside the teacher, called once after the last step."""
        return ResultParts()


@dataclass(frozen=True)
class TermKind:
    """How settings of a recipe become a term.

    Attributes:
        settings: a frozen dataclass with a field `weight`; its fields are the keys in recipes.
        build: makes the term of settings and context.
    """

    settings: type[Any]
    build: Callable[[Any, TermContext], LossTerm]
