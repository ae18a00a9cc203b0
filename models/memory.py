"""Going on with less when memory runs out: smaller batches, and for images smaller windows."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from models.errors import OutOfMemory, RegionModelOutOfMemory

_LOG = logging.getLogger(__name__)
SMALLEST_WINDOW_PX = 128
_MESSAGES = (
    # The CPU allocator of torch has no error class of its own, ...
    "not enough memory",
    "can't allocate memory",
    # ... nor have the libraries under it that allocate for themselves on a GPU.
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuDNN, where no algorithm's workspace fits.
    "unable to find an engine to execute this computation",
)

T = TypeVar("T")


@dataclass(frozen=True)
class MemoryPlan:
    """How much is computed at once: windows per forward pass, and the longest side of a window."""

    batch_size: int
    window_px: int

    def smaller(self, longest_side_px: int) -> "MemoryPlan":
        """The next plan after this one has failed on images of this longest side.

        The batch is halved down to 1; then the window, down to 128 px.

        Raises:
            OutOfMemory: if there is nothing left to halve.
        """
        if self.batch_size > 1:
            return replace(self, batch_size=self.batch_size // 2)
        window_px = min(self.window_px, longest_side_px)
        if window_px <= SMALLEST_WINDOW_PX:
            raise OutOfMemory(window_px)
        return replace(self, window_px=max(SMALLEST_WINDOW_PX, window_px // 2))


def is_out_of_memory(error: BaseException) -> bool:
    """True for the ways in which torch, numpy and Python say that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def or_none_if_out_of_memory(step: Callable[[], T]) -> T | None:
    """The result of `step()`, or None if it ran out of memory; all it had allocated is released."""
    try:
        return step()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _LOG.warning("out of memory: %s", str(error).splitlines()[0] if str(error) else "")
    # Here, and not inside `except`: while the error lives, its traceback holds the tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def in_parts(count: int, at_once: int, step: Callable[[int, int], T]) -> Iterator[T]:
    """The results of `step(start, stop)` over prompts 0 to `count`, part after part.

    A part that runs out of memory is done again in halves, and those after it are as small.

    Args:
        count: of prompts.
        at_once: prompts in a part to begin with.
        step: answers the prompts from `start` on, `stop` not among them; never None.

    Raises:
        RegionModelOutOfMemory: if a single prompt does not fit.
    """
    start = 0
    while start < count:
        stop = min(count, start + at_once)
        found = or_none_if_out_of_memory(partial(step, start, stop))
        if found is not None:
            yield found
            start = stop
        elif stop - start == 1:
            raise RegionModelOutOfMemory
        else:
            at_once = (stop - start) // 2
