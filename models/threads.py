"""How many threads torch works with, where many are in the way."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch work with one thread meanwhile.

    For loops over small matrices: two threads are slower than one there, on a busy machine many
    times slower, since each waits for the other at every step. It also makes the outcome
    independent of the machine's number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
