"""A small convolutional segmenter with BatchNorm that is quick on a CPU.

A residual encoder to stride 16 with dilated blocks, a global gate in the manner of LR-ASPP
(Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.3), and a decoder that adds the
stride 8 and stride 4 maps of the encoder. Plain 3x3 convolutions are used throughout: on CPUs they
run nearer to peak speed than depthwise ones, in training above all.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ENCODER_STRIDE = 16
LOGIT_STRIDE = 4
_CHANNEL_MEAN = (0.45, 0.45, 0.45)
_CHANNEL_STD = (0.25, 0.25, 0.25)


@dataclass
class CompactOutput:
    """What one forward pass gives.

    `logits` is float [B, K, h, w]; it covers exactly the input's extent, so a plain resize to
    (H, W) with `align_corners=False` puts it in place. `features` is float [B, C, h2, w2] at
    stride 4, the map from which the last 1x1 convolution makes the logits.
    """

    logits: Tensor
    features: Tensor


def _conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, which is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class GatedContext(nn.Module):
    """A 1x1 projection scaled per channel by a gate computed from the global mean."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )
        # No BatchNorm here: the pooled map has one pixel, too few for statistics in small batches.
        self.gate = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x.mean(dim=(2, 3), keepdim=True)))
        projected: Tensor = self.project(x)
        return projected * gate


class CompactSegmenter(nn.Module):
    """Images [B, 3, H, W] float32 RGB in [0, 1] to `CompactOutput`, for any H, W >= 1.

    Args:
        num_classes: number of output classes K, 1 to 255.
        width: base number of channels; 24 gives about 1.8 million parameters.
        feature_channels: C of the returned features.
    """

    channel_mean: Tensor
    channel_std: Tensor

    def __init__(self, num_classes: int, width: int = 24, feature_channels: int = 64) -> None:
        super().__init__()
        if not 1 <= num_classes <= 255:
            raise ValueError(f"num_classes must lie in 1..255, got {num_classes}")
        self.num_classes = num_classes
        self.width = width
        self.feature_channels = feature_channels
        c4, c8, c16 = 2 * width, 4 * width, (20 * width) // 3
        self.register_buffer("channel_mean", torch.tensor(_CHANNEL_MEAN).view(1, 3, 1, 1))
        self.register_buffer("channel_std", torch.tensor(_CHANNEL_STD).view(1, 3, 1, 1))
        self.stem = _conv_bn(3, width, stride=2)
        self.stage4 = nn.Sequential(_conv_bn(width, c4, stride=2), ResidualBlock(c4, c4))
        self.stage8 = nn.Sequential(ResidualBlock(c4, c8, stride=2), ResidualBlock(c8, c8))
        self.stage16 = nn.Sequential(
            ResidualBlock(c8, c16, stride=2),
            ResidualBlock(c16, c16, dilation=2),
            ResidualBlock(c16, c16, dilation=4),
        )
        self.context = GatedContext(c16, feature_channels)
        self.lateral8 = nn.Conv2d(c8, feature_channels, 1)
        self.fuse8 = _conv_bn(feature_channels, feature_channels)
        self.lateral4 = nn.Conv2d(c4, feature_channels, 1)
        self.fuse4 = _conv_bn(feature_channels, feature_channels)
        self.classify = nn.Conv2d(feature_channels, num_classes, 1)

    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this architecture, ready for JSON."""
        return {
            "num_classes": self.num_classes,
            "width": self.width,
            "feature_channels": self.feature_channels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CompactSegmenter":
        """A freshly initialised network of the architecture that `config()` described."""
        return cls(**config)

    def forward(self, images: Tensor) -> CompactOutput:
        height, width = images.shape[-2:]
        x = (images - self.channel_mean) / self.channel_std
        pad_bottom, pad_right = -height % ENCODER_STRIDE, -width % ENCODER_STRIDE
        if pad_bottom or pad_right:
            x = F.pad(x, (0, pad_right, 0, pad_bottom), mode="replicate")
        features = self._decode(*self._encode(x))
        logits = self.classify(features)
        features = features[..., : -(-height // LOGIT_STRIDE), : -(-width // LOGIT_STRIDE)]
        if height % LOGIT_STRIDE or width % LOGIT_STRIDE:
            # A stride 4 grid cannot end at this edge; cropping it would shift every later resize.
            full_hw = (height + pad_bottom, width + pad_right)
            logits = F.interpolate(logits, size=full_hw, mode="bilinear", align_corners=False)
            return CompactOutput(logits[..., :height, :width], features)
        return CompactOutput(
            logits[..., : height // LOGIT_STRIDE, : width // LOGIT_STRIDE], features
        )

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at4 = self.stage4(self.stem(x))
        at8 = self.stage8(at4)
        return at4, at8, self.stage16(at8)

    def _decode(self, at4: Tensor, at8: Tensor, at16: Tensor) -> Tensor:
        y = self.fuse8(_upsample(self.context(at16), at8) + self.lateral8(at8))
        fused: Tensor = self.fuse4(_upsample(y, at4) + self.lateral4(at4))
        return fused


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
