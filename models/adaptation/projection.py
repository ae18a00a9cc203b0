"""A small head from features to the space in which classes are compared, and its slow copy."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Projection(nn.Module):
    """A 1x1 convolution without bias, and an exponential average of it for keys and prototypes.

    The slow copy is a buffer: it is in checkpoints and gets no gradient. It begins as the student's
    (a_0 = 0) and follows it with a_t = min(1 - 1 / (t + 1), momentum), as the teacher does.

    Args:
        feature_channels: C.
        channels: d; 0 leaves the features as they are.
        momentum: of the slow copy.
    """

    slow_weight: Tensor
    updates: Tensor

    def __init__(self, feature_channels: int, channels: int, momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight: nn.Parameter | None = None
        self.channels = channels or feature_channels
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        if channels:
            drawn = torch.randn(channels, feature_channels)
            self.weight = nn.Parameter(drawn / feature_channels**0.5)
            self.register_buffer("slow_weight", self.weight.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """With gradient, float [B, d, h, w] of features [B, C, h, w]."""
        return features if self.weight is None else _project(features, self.weight)

    def frozen(self, features: Tensor) -> Tensor:
        """As `forward`, without a gradient in the head's own weights."""
        return features if self.weight is None else _project(features, self.weight.detach())

    def slow(self, features: Tensor) -> Tensor:
        """By the slow copy, without gradient."""
        with torch.no_grad():
            return features if self.weight is None else _project(features, self.slow_weight)

    def follow(self) -> None:
        """Moves the slow copy on; called after each step of the optimiser."""
        if self.weight is None:
            return
        keep = min(1 - 1 / (int(self.updates) + 1), self.momentum)
        self.slow_weight.mul_(keep).add_(self.weight.detach(), alpha=1 - keep)
        self.updates.add_(1)


def _project(features: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(features, weight[:, :, None, None])
