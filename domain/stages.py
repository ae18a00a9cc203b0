"""A stage of the work on images, measured: its span in the trace, its time, its outcome."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from domain import tracing
from domain.metrics import IMAGES, STAGE_SECONDS


@contextmanager
def measured(stage: str, images: int = 1, *, in_trace: bool = True) -> Iterator[None]:
    """Measure the block as a stage of so many images.

    An image that fails counts as such. A batch that fails does not: it is tried again one by one.

    Args:
        in_trace: whether it is a span as well; not where one request has thousands of images.
    """
    started = time.perf_counter()
    try:
        with tracing.span(stage, images=images) if in_trace else nullcontext():
            yield
    except Exception:  # whatever it is, it is counted and goes on to the caller
        if images == 1:
            IMAGES.labels(stage, "failed").inc()
        raise
    seconds = (time.perf_counter() - started) / max(1, images)
    IMAGES.labels(stage, "succeeded").inc(images)
    for _ in range(images):
        STAGE_SECONDS.labels(stage).observe(seconds)


def refused(stage: str) -> None:
    """Count a file that is no image that can be used."""
    IMAGES.labels(stage, "failed").inc()
