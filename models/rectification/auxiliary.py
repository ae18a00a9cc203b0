"""The second opinion b: another head on the segmenter's frozen features.

IR2F-style reconstruction of the auxiliary head of the mixture model: where the label is not to be
trusted, b says what it might be instead. Uniform, it could never change a label.
"""

from typing import Final

import torch
from torch import Tensor, nn

_HIDDEN: Final = 64


class AuxiliaryHead(nn.Module):
    """Features to class probabilities on the same grid.

    Args:
        feature_channels: C.
        num_classes: K.

    Attributes:
        feature_mean, feature_scale: subtracted first, and divided by then; float [C].
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, feature_channels: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(feature_channels))
        self.register_buffer("feature_scale", torch.ones(feature_channels))
        self.layers = nn.Sequential(
            nn.Conv2d(feature_channels, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, num_classes, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities, float [B, K, h, w], of features [B, C, h, w]."""
        return self.logits(features).softmax(1)

    def logits(self, features: Tensor) -> Tensor:
        """As `forward`, before the softmax."""
        mean, scale = self.feature_mean[:, None, None], self.feature_scale[:, None, None]
        logits: Tensor = self.layers((features - mean) / scale)
        return logits
