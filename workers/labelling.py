"""Images through the label path, one by one or in batches; a bad image harms only itself."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.stages import measured
from models.connectivity.evidence import RegionEvidence
from models.label_maps import LabelMaps
from models.prediction import Prediction
from models.region_label import finish_label
from workers.context import LabelContext
from workers.images import RgbImage, prefetch
from workers.kept_labels import kept_label
from workers.label_runtime import LabelRuntime
from workers.stages import StageBroke, in_stage, problem_of

GPU_BATCH_IMAGES: Final = 8


@dataclass(frozen=True)
class Predicted:
    """What the model said about one image, or the problem with it."""

    digest: str
    prediction: Prediction | None = None
    problem: dict[str, Any] | None = None
    image: RgbImage | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Labelled:
    """What became of one image: maps, or a problem document and the stage that it comes from."""

    digest: str
    maps: LabelMaps | None = None
    problem: dict[str, Any] | None = None
    failed_stage: str | None = None
    seconds: float = 0.0


def predict_images(
    runtime: LabelRuntime,
    context: LabelContext,
    digests: Sequence[str],
    *,
    need_images: bool = False,
) -> Iterator[Predicted]:
    """Fetch, decode and predict images; those whose prediction is kept come first.

    Args:
        need_images: give the image back in any case, not only where it was read.

    Raises:
        StorageUnavailable: the store failed.
    """
    kept = [d for d in digests if context.prediction_key(d) in runtime.predictions]
    yield from _kept_predictions(runtime, context, kept, need_images=need_images)
    todo = [d for d in digests if d not in set(kept)]
    # On a CPU one image at a time: the bytes of a label must not depend on its neighbours.
    batch_size = 1 if context.device_type == "cpu" else GPU_BATCH_IMAGES
    batch: list[tuple[str, RgbImage]] = []
    for digest, image, problem in prefetch(runtime, todo):
        if image is None:
            yield Predicted(digest, problem=problem)
            continue
        batch.append((digest, image))
        if len(batch) >= batch_size:
            yield from _predict_batch(context, batch)
            batch = []
    if batch:
        yield from _predict_batch(context, batch)


def _kept_predictions(
    runtime: LabelRuntime, context: LabelContext, digests: list[str], *, need_images: bool
) -> Iterator[Predicted]:
    if not need_images:
        for digest in digests:
            yield Predicted(digest, runtime.predictions.pop(context.prediction_key(digest)))
        return
    for digest, image, problem in prefetch(runtime, digests):
        found = runtime.predictions.pop(context.prediction_key(digest))
        yield Predicted(digest, None if image is None else found, problem, image)


def _predict_batch(context: LabelContext, batch: list[tuple[str, RgbImage]]) -> Iterator[Predicted]:
    started = time.perf_counter()
    try:
        with measured("predict", len(batch)):
            found = context.pipeline.look([image for _, image in batch])
        found = _rectified(context, found)
    except Exception as error:  # whatever it is, one bad image harms one image
        if len(batch) > 1:
            for one in batch:
                yield from _predict_batch(context, [one])
            return
        seconds = time.perf_counter() - started
        yield Predicted(batch[0][0], problem=problem_of(error, "predict"), seconds=seconds)
        return
    seconds = (time.perf_counter() - started) / len(batch)
    for (digest, image), prediction in zip(batch, found, strict=True):
        yield Predicted(digest, prediction, image=image, seconds=seconds)


def _rectified(context: LabelContext, predictions: list[Prediction]) -> list[Prediction]:
    if context.pipeline.config.rectify is None:
        return predictions
    with measured("rectify", len(predictions)):
        return [context.pipeline.rectify(prediction) for prediction in predictions]


def label_images(
    runtime: LabelRuntime, context: LabelContext, digests: Sequence[str]
) -> Iterator[Labelled]:
    """Predict images and finish their labels; errors as in `predict_images`."""
    need_images = context.looks_at_regions
    for done in predict_images(runtime, context, digests, need_images=need_images):
        if done.prediction is None:
            yield Labelled(done.digest, None, done.problem, "predict", done.seconds)
            continue
        started = time.perf_counter()
        try:
            maps = _finish(runtime, context, done, done.prediction)
        except StageBroke as error:
            yield Labelled(done.digest, None, error.problem, error.stage, done.seconds)
            continue
        seconds = done.seconds + time.perf_counter() - started
        yield Labelled(done.digest, maps, seconds=seconds)


def _finish(
    runtime: LabelRuntime, context: LabelContext, done: Predicted, prediction: Prediction
) -> LabelMaps:
    pipeline = context.pipeline
    if not context.looks_at_regions:
        with in_stage("select"):
            return pipeline.finish(prediction)
    evidence = evidence_of(runtime, context, done)
    keep_stages = pipeline.config.keep_stages
    if pipeline.correction is None:
        return finish_label(evidence, None, done.digest, keep_stages)
    with in_stage("correct"):
        return finish_label(evidence, pipeline.correction, done.digest, keep_stages)


def evidence_of(runtime: LabelRuntime, context: LabelContext, done: Predicted) -> RegionEvidence:
    """Return what the stages up to `aggregate` leave of a predicted image.

    Raises:
        StageBroke: one of them failed.
        StorageUnavailable: the store failed.
    """
    assert done.prediction is not None
    with in_stage("select"):
        kept = kept_label(runtime, context, done.digest)
    with in_stage("aggregate"):
        return context.pipeline.evidence(done.prediction, done.image, kept)
