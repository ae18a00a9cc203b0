"""What the processes of one training run tell each other; with one process nothing.

A loss is a sum over this process's pixels divided by a count over the pixels of all. Gradients are
then added up over processes, so that n processes do what one would do with an n times larger batch.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def summed(values: Tensor) -> Tensor:
    """The sum over processes of a tensor of one shape; no gradient flows through it."""
    values = values.detach()
    if process_count() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def any_of_all(here: bool) -> bool:
    """Whether it is so in any process; all get the same answer."""
    if process_count() == 1:
        return here
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    return bool(summed(torch.tensor(float(here), device=device)) > 0)


def mean_over_all(local_sum: Tensor, local_count: Tensor) -> Tensor:
    """This process's share of a mean over the pixels of all processes.

    The shares add up to the mean. 0, with a gradient of 0, where nothing was counted anywhere.

    Args:
        local_sum: sum over this process's pixels, float [], with its gradient.
        local_count: how many (or the sum of their weights), [].
    """
    total = summed(local_count)
    # Weights may add up to less than 1, so there is no clamp at 1.
    return local_sum / torch.where(total > 0, total, torch.ones_like(total))


def add_up(tensors: Sequence[Tensor], factor: float = 1.0) -> None:
    """Replaces each tensor, in place, by its sum over processes times a factor; one message."""
    if process_count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat *= factor
    begin = 0
    for tensor in tensors:
        tensor.detach().copy_(flat[begin : begin + tensor.numel()].view_as(tensor))
        begin += tensor.numel()


def add_up_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Gradients become their sums over processes; one that is missing counts as 0."""
    if process_count() == 1:
        return
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    add_up(gradients)
