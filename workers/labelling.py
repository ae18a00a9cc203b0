"""Images through the label path, one by one or in batches; a bad image harms only itself."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api_schemas.problems import OutOfMemory, StageFailed
from domain.stages import measured
from models.errors import ModelOutputInvalid
from models.errors import OutOfMemory as ModelOutOfMemory
from models.pipeline import LabelMaps
from models.prediction import Prediction
from workers.context import LabelContext
from workers.images import RgbImage, prefetch
from workers.label_runtime import LabelRuntime
from workers.metrics import OUT_OF_MEMORY
from workers.runtime import log

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
    """What became of one image: maps, or a problem document."""

    digest: str
    maps: LabelMaps | None = None
    problem: dict[str, Any] | None = None
    image: RgbImage | None = None
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
    todo: list[str] = []
    for digest in digests:
        kept = None if need_images else runtime.predictions.pop(context.prediction_key(digest))
        if kept is None:
            todo.append(digest)
        else:
            yield Predicted(digest, kept)
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


def _predict_batch(context: LabelContext, batch: list[tuple[str, RgbImage]]) -> Iterator[Predicted]:
    started = time.perf_counter()
    try:
        with measured("predict", len(batch)):
            found = context.pipeline.predict([image for _, image in batch])
    except Exception as error:  # whatever it is, one bad image harms one image
        if len(batch) > 1:
            for one in batch:
                yield from _predict_batch(context, [one])
            return
        seconds = time.perf_counter() - started
        yield Predicted(batch[0][0], problem=problem_of(error), seconds=seconds)
        return
    seconds = (time.perf_counter() - started) / len(batch)
    for (digest, image), prediction in zip(batch, found, strict=True):
        yield Predicted(digest, prediction, image=image, seconds=seconds)


def label_images(
    runtime: LabelRuntime,
    context: LabelContext,
    digests: Sequence[str],
    *,
    need_images: bool = False,
) -> Iterator[Labelled]:
    """Predict images and finish their labels; arguments and errors as in `predict_images`."""
    for done in predict_images(runtime, context, digests, need_images=need_images):
        if done.prediction is None:
            yield Labelled(done.digest, problem=done.problem, seconds=done.seconds)
            continue
        started = time.perf_counter()
        with measured("select"):
            maps = context.pipeline.finish(done.prediction)
        seconds = done.seconds + time.perf_counter() - started
        yield Labelled(done.digest, maps, image=done.image, seconds=seconds)


def problem_of(error: Exception) -> dict[str, Any]:
    """Return the problem document for a failure in the label path; logs what it does not say."""
    if isinstance(error, ModelOutOfMemory):
        OUT_OF_MEMORY.labels("predict").inc()
        return OutOfMemory(str(error)).to_json()
    if isinstance(error, ModelOutputInvalid):
        return StageFailed(f"The model's output cannot be used: {error}").to_json()
    log.error("a stage failed", exc_info=error)
    return StageFailed(
        f"The label path failed on this image ({type(error).__name__}). The worker's log has the "
        "details; if other images work, check this file."
    ).to_json()
