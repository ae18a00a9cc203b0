"""Runs one row: rounds of labelling and training, with figures after each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.rounds.budgets import Budget
from benchmarks.rounds.data import ImageSet, RoundsData
from benchmarks.rounds.judging import with_judges
from benchmarks.rounds.labels import label_set
from benchmarks.rounds.rows import Row
from benchmarks.rounds.scoring import label_figures, model_figures
from benchmarks.rounds.supervised import train_supervised
from models.adaptation.adapt import adapt
from models.adaptation.config import Recipe
from models.adaptation.data import SourceSample
from models.adaptation.training import StepReport
from models.bundle import Bundle
from models.config import PipelineConfig
from models.normalisation import reestimate_batch_statistics
from models.promptable.builtin import load_built_in
from models.segmentation.base import SegmentationModel
from models.segmentation.bundled import BundledSegmenter


@dataclass(frozen=True, eq=False)
class Bench:
    """What all rows have in common.

    Attributes:
        data: images.
        budget: sizes.
        seed: of everything drawn.
        rounds: how many.
        recipe: of all rows that train.
    """

    data: RoundsData
    budget: Budget
    seed: int
    rounds: int
    recipe: Recipe


def baseline_figures(name: str, model: BundledSegmenter, bench: Bench) -> dict[str, Any]:
    """Figures of `source_only`, `source_bn` or `oracle`.

    Args:
        name: of the row.
        model: the source model.
        bench: data and sizes.
    """
    found: SegmentationModel = model
    if name != "source_only":
        found = _on_target(model, bench)
    if name == "oracle":
        assert isinstance(found, BundledSegmenter)
        network = train_supervised(
            found.module,
            bench.data.unlabelled,
            bench.recipe,
            bench.budget.steps,
            bench.seed,
            2 * bench.recipe.batch_size,
            bench.recipe.learning_rate,
        )
        bundle = Bundle(network, model.ontology, {})
        found = _on_target(BundledSegmenter(bundle, model.device), bench)
    return {"rounds": [{"held_out": model_figures(found, bench.data.held_out, bench.seed)}]}


def row_figures(row: Row, model: BundledSegmenter, bench: Bench) -> dict[str, Any]:
    """Figures of a row after each of its rounds; the last one counts.

    Args:
        row: how labels are made and learnt.
        model: the source model.
        bench: data and sizes.
    """
    model = with_judges(
        model, bench.data.judging, bench.seed, row.rectify, "correct" in row.pipeline
    )
    current = _on_target(model, bench)
    source = _source_samples(bench.data.source)
    names = [info.name for info in model.ontology.classes]
    steps = bench.budget.steps // bench.rounds
    recipe = replace(bench.recipe, terms=row.terms)
    found = []
    for number in range(bench.rounds):
        started = time.process_time()
        pipeline = _pipeline(row, current)
        labels = label_set(current, bench.data.unlabelled, pipeline, load_built_in("graph"))
        labelled = time.process_time()
        losses: list[StepReport] = []

        def remember(step: int, report: StepReport, kept: list[StepReport] = losses) -> None:
            kept[:] = [report]

        adapted = adapt(
            current, source, labels, recipe,
            steps=steps, seed=bench.seed * 1000 + number, after_step=remember,
        )  # fmt: skip
        trained = time.process_time()
        assert isinstance(adapted.model, BundledSegmenter)
        current = adapted.model
        current.rectifier = adapted.parts.rectifier
        found.append(
            {
                "held_out": model_figures(current, bench.data.held_out, bench.seed),
                "stages": list(pipeline.stages),
                "labels": label_figures(labels, bench.data.unlabelled, names),
                "last_losses": dict(losses[0].losses),
                "cpu_seconds": {
                    "label": round(labelled - started, 1),
                    "train": round(trained - labelled, 1),
                },
            }
        )
    return {"rounds": found, "recipe": recipe.to_dict(), "pipeline": dict(row.pipeline)}


def _pipeline(row: Row, model: BundledSegmenter) -> PipelineConfig:
    # After a round without `rmm` there is no rectifier for the new weights.
    rectify: dict[str, Any] = {"rectify": {}} if row.rectify and model.rectifier is not None else {}
    return PipelineConfig.from_dict({**row.pipeline, **rectify})


def _on_target(model: BundledSegmenter, bench: Bench) -> BundledSegmenter:
    """The model with batch statistics of the unlabelled images."""
    images = list(bench.data.unlabelled.images[: bench.recipe.statistics_images])
    adapted = reestimate_batch_statistics(model, images).model
    assert isinstance(adapted, BundledSegmenter)
    return adapted


def _source_samples(data: ImageSet) -> Sequence[SourceSample]:
    return [SourceSample(name, *data[index]) for index, name in enumerate(data.ids)]
