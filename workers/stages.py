"""A stage on one image in a worker: measured, and a failure of it is a problem of that image."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api_schemas.problems import OutOfMemory, StageFailed, StorageUnavailable
from domain.stages import measured
from models.errors import ModelOutputInvalid
from models.errors import OutOfMemory as ModelOutOfMemory
from workers.metrics import OUT_OF_MEMORY
from workers.runtime import log


class StageBroke(Exception):
    """A stage failed on an image; `problem` is for its item."""

    def __init__(self, stage: str, problem: dict[str, Any]) -> None:
        super().__init__(problem["detail"])
        self.stage = stage
        self.problem = problem


@contextmanager
def in_stage(name: str) -> Iterator[None]:
    """Measure the block as a stage of one image.

    Raises:
        StageBroke: whatever failed in it; one bad image harms one image.
        StorageUnavailable: the store failed; the image itself may be fine.
    """
    try:
        with measured(name):
            yield
    except StorageUnavailable:
        raise
    except Exception as error:
        raise StageBroke(name, problem_of(error, name)) from error


def problem_of(error: Exception, stage: str) -> dict[str, Any]:
    """Return the problem document for a failure in a stage; logs what it does not say."""
    if isinstance(error, ModelOutOfMemory):
        OUT_OF_MEMORY.labels(stage).inc()
        return OutOfMemory(str(error)).to_json()
    if isinstance(error, ModelOutputInvalid):
        return StageFailed(f"The model's output cannot be used: {error}").to_json()
    log.error("a stage failed", stage=stage, exc_info=error)
    return StageFailed(
        f"The label path failed on this image ({type(error).__name__}). The worker's log has the "
        "details; if other images work, check this file."
    ).to_json()
