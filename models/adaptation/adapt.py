"""A whole run in memory, for notebooks and benchmarks; `runs.py` does the same with a folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.adaptation.batches import BatchSource
from models.adaptation.config import Recipe
from models.adaptation.data import RgbImage, SourceSamples, TargetSamples, all_of, nothing
from models.adaptation.networks import look
from models.adaptation.randomness import keyed_rng
from models.adaptation.rare_classes import class_pixels
from models.adaptation.registry import build_terms
from models.adaptation.terms import ResultParts, TermContext
from models.adaptation.training import StepReport, TrainingState
from models.normalisation import reestimate_batch_statistics
from models.prediction import to_tensor
from models.segmentation.base import ModuleModel, SegmentationModel


@dataclass(frozen=True, eq=False)
class Adapted:
    """What a run gives.

    Attributes:
        model: the teacher, its batch statistics those of the target.
        parts: what the terms add to its bundle.
    """

    model: SegmentationModel
    parts: ResultParts


def prepared_state(
    model: ModuleModel, setting: str, target: TargetSamples, recipe: Recipe, steps: int, seed: int
) -> TrainingState:
    """The state before the first step.

    Args:
        model: to start from; becomes the student.
        setting: "uda", "source_free" or "black_box".
        target: all samples.
        recipe, steps, seed: of the run.

    Raises:
        ConfigError: the recipe names a term or setting that there is not.
        ModelOutputInvalid: the model gives no features.
    """
    pixels = to_tensor([target[0].image[:32, :32]], model.device)
    channels = look(model, pixels).features.shape[1]
    context = TermContext(setting, model.ontology, channels, steps, seed, model.device)
    terms = build_terms(recipe, context)
    for term in terms:
        term.prepare(target)
    return TrainingState(model, terms, recipe, steps, seed)


def adapt(
    model: ModuleModel,
    source: SourceSamples | None,
    target: TargetSamples,
    recipe: Recipe,
    *,
    setting: str = "uda",
    steps: int,
    seed: int,
    after_step: Callable[[int, StepReport], None] = lambda step, report: None,
) -> Adapted:
    """Trains `model`, which is changed.

    Args:
        model: to start from.
        source: labelled images; None in the other settings than "uda".
        target: images with the frozen label set.
        recipe, setting, steps, seed: of the run.
        after_step: told of every step.
    """
    state = prepared_state(model, setting, target, recipe, steps, seed)
    num_classes = model.ontology.num_classes
    donors = (
        class_pixels(all_of(target), num_classes)
        if source is None
        else class_pixels(all_of(source), num_classes)
    )
    batches = BatchSource(source, target, recipe, donors, seed, model.device)
    for step in range(steps):
        after_step(step, state.train_step(batches, step))
    return finished(state, target)


def finished(
    state: TrainingState,
    target: TargetSamples,
    before_image: Callable[[], None] = nothing,
) -> Adapted:
    """The result of a state after its last step.

    Args:
        state: not changed.
        target: all samples; some give the batch statistics.
        before_image: called before each of these, and may raise.
    """
    count = min(state.recipe.statistics_images, len(target))
    order = keyed_rng(state.seed, "statistics").permutation(len(target))[:count]
    images = _images(target, sorted(int(index) for index in order), before_image)
    model = reestimate_batch_statistics(state.teacher, images).model
    parts = ResultParts()
    for term in state.terms:
        found = term.result_parts(model)
        parts = ResultParts(found.rectifier or parts.rectifier)
    return Adapted(model, parts)


def _images(
    target: TargetSamples, order: list[int], before_image: Callable[[], None]
) -> Iterator[RgbImage]:
    for index in order:
        before_image()
        yield target[index].image
