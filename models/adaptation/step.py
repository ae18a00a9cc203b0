"""One training step: what is said in `terms.py`, in that order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.adaptation.augmentation import strongly_augmented
from models.adaptation.batches import Batch
from models.adaptation.class_mix import class_mix, drawn_classes, paste_mask
from models.adaptation.config import Recipe
from models.adaptation.losses import consistency_loss, labelled_loss
from models.adaptation.networks import look, set_training_mode, student_looks, teaching
from models.adaptation.pseudo_labels import pseudo_labels
from models.adaptation.randomness import keyed_rng
from models.adaptation.resolution import upsampled
from models.adaptation.terms import (
    Dense,
    LossTerm,
    MixedBatch,
    PseudoLabels,
    StepInputs,
    StepOutputs,
)
from models.segmentation.base import ModuleModel


@dataclass(frozen=True, eq=False)
class StepLosses:
    """The losses of a step.

    Attributes:
        total: weighted sum, float [], with gradient.
        losses: this process's share of each, unweighted, by name.
        figures: of the terms.
        outputs: what the terms looked at.
    """

    total: Tensor
    losses: Mapping[str, Tensor]
    figures: Mapping[str, float]
    outputs: StepOutputs


def step_losses(
    student: ModuleModel,
    teacher: ModuleModel,
    terms: Sequence[LossTerm],
    batch: Batch,
    recipe: Recipe,
    *,
    step: int,
    steps: int,
    seed: int,
) -> StepLosses:
    """Everything of a step up to its loss; changes batch statistics and nothing else.

    Args:
        student, teacher: of one architecture.
        terms: of the methods; empty for the base alone.
        batch: samples of this step.
        recipe: of the run.
        step: from 0.
        steps, seed: of the run.
    """
    with teaching(teacher, recipe.normalisation):
        on_target = look(teacher, batch.target.images)
    inputs = StepInputs(step, steps, seed, batch.places, batch.target, on_target, batch.source)
    pseudo = _pseudo(inputs, terms, recipe)
    mixed = _mixed(inputs, pseudo, batch, terms, recipe)
    outputs = _outputs(student, teacher, terms, inputs, pseudo, mixed, recipe)
    return _losses(outputs, terms, recipe)


def _pseudo(inputs: StepInputs, terms: Sequence[LossTerm], recipe: Recipe) -> PseudoLabels:
    teacher, size_hw = inputs.teacher, _size_hw(inputs.target.images)
    logits = upsampled(teacher.logits, size_hw, teacher.covers_hw_px)
    pseudo = pseudo_labels(inputs.target, logits.softmax(1), recipe)
    for term in terms:
        pseudo = term.adjust_pseudo(pseudo, inputs)
    return pseudo


def _mixed(
    inputs: StepInputs,
    pseudo: PseudoLabels,
    batch: Batch,
    terms: Sequence[LossTerm],
    recipe: Recipe,
) -> MixedBatch:
    classes = [
        drawn_classes(
            label, recipe.mix_classes, keyed_rng(inputs.seed, "class-mix", inputs.step, place)
        )
        for label, place in zip(batch.donors.labels, inputs.places, strict=True)
    ]
    pasted = paste_mask(batch.donors.labels, classes)
    mixed = class_mix(batch.target.images, pseudo, batch.donors, pasted)
    for term in terms:
        mixed = term.adjust_mixed(mixed, inputs)
    strong = strongly_augmented(
        mixed.images, recipe.augmentation, inputs.seed, "mixed-colours", inputs.step, inputs.places
    )
    return replace(mixed, images=strong)


def _outputs(
    student: ModuleModel,
    teacher: ModuleModel,
    terms: Sequence[LossTerm],
    inputs: StepInputs,
    pseudo: PseudoLabels,
    mixed: MixedBatch,
    recipe: Recipe,
) -> StepOutputs:
    extra: dict[str, Tensor] = {}
    for term in terms:
        extra.update(term.extra_inputs(inputs, mixed))
    images = {} if inputs.source is None else {"source": inputs.source.images}
    images |= {"mixed": mixed.images, **extra}
    set_training_mode(student, recipe.normalisation)
    # Dropout draws from torch's own generator: keyed, it is the same after a resume.
    torch.manual_seed(
        int(keyed_rng(inputs.seed, "network", inputs.step, *inputs.places[:1]).integers(1 << 62))
    )
    seen = student_looks(student, images, recipe.normalisation)
    wanted = sorted({name for term in terms for name in term.teacher_looks_at()} - {"target"})
    taught: dict[str, Dense] = {"target": inputs.teacher}
    with teaching(teacher, recipe.normalisation):
        taught |= {name: look(teacher, images[name].detach()) for name in wanted if name in images}
        for term in terms:
            given = term.teacher_inputs(inputs)
            taught |= {name: look(teacher, alone.detach()) for name, alone in given.items()}
    return StepOutputs(
        inputs=inputs,
        pseudo=pseudo,
        mixed=mixed,
        student_mixed=seen["mixed"],
        student_source=seen.get("source"),
        extra={name: seen[name] for name in extra},
        teacher=taught,
        extra_images=extra,
    )


def _losses(outputs: StepOutputs, terms: Sequence[LossTerm], recipe: Recipe) -> StepLosses:
    mixed = outputs.mixed
    weighted: list[tuple[str, float, Tensor]] = []
    if outputs.student_source is not None and outputs.inputs.source is not None:
        logits = _full(outputs.student_source, outputs.inputs.source.images)
        loss = labelled_loss(logits, outputs.inputs.source.labels)
        weighted.append(("source", recipe.source_weight, loss))
    logits = _full(outputs.student_mixed, mixed.images)
    weighted.append(
        ("mixed", recipe.target_weight, labelled_loss(logits, mixed.labels, mixed.weights))
    )
    if recipe.consistency_weight:
        where = ~mixed.pasted & ~mixed.kept
        loss = consistency_loss(logits, mixed.soft_targets, where)
        weighted.append(("consistency", recipe.consistency_weight, loss))
    figures: dict[str, float] = {}
    for term in terms:
        result = term(outputs)
        weighted.append((term.name, term.weight, result.loss))
        figures |= {f"{term.name}_{name}": value for name, value in result.figures.items()}
    total = torch.stack([weight * loss for _, weight, loss in weighted]).sum()
    return StepLosses(total, {name: loss.detach() for name, _, loss in weighted}, figures, outputs)


def _full(dense: Dense, images: Tensor) -> Tensor:
    return upsampled(dense.logits, _size_hw(images), dense.covers_hw_px)


def _size_hw(images: Tensor) -> tuple[int, int]:
    return int(images.shape[-2]), int(images.shape[-1])
