"""Networks that translate source images into the target's style, small enough for a CPU.

After CUT (Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020),
as CONFETI uses it, but at a quarter of the resolution: pixels are folded into channels first and
unfolded last, and what is learnt is a change of the image, 0 at first.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FOLD_PX: Final = 4
_MOST_CHANGE: Final = 1.0


class _Block(nn.Module):
    """Two 3x3 convolutions with a shortcut. No normalisation: brightness is part of a style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + 0.5 * changed


class Generator(nn.Module):
    """Images [B, 3, H, W] in [0, 1] to images of the same shape; H and W multiples of 4, >= 8.

    Args:
        channels: of the maps at a quarter of the resolution.
        blocks: residual blocks.
    """

    def __init__(self, channels: int = 24, blocks: int = 3) -> None:
        super().__init__()
        folded = 3 * _FOLD_PX**2
        self.first = nn.Conv2d(folded, channels, 3, padding=1)
        self.blocks = nn.ModuleList([_Block(channels) for _ in range(blocks)])
        self.gain = nn.Conv2d(channels, folded, 1)
        self.shift = nn.Conv2d(channels, folded, 1)
        for layer in (self.gain, self.shift):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    @property
    def layer_channels(self) -> tuple[int, ...]:
        """Channels of the maps that `encode` gives."""
        return (3 * _FOLD_PX**2, *[self.first.out_channels] * (1 + len(self.blocks)))

    def encode(self, images: Tensor) -> list[Tensor]:
        """The maps that patches are compared in: pixels, first layer, after each block."""
        maps = [F.pixel_unshuffle(images * 2 - 1, _FOLD_PX)]
        maps.append(self.first(maps[0]))
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(images, self.encode(images)[-1])

    def decode(self, images: Tensor, last_map: Tensor) -> Tensor:
        """The translated images, from the last map of `encode`."""
        codes = F.relu(last_map)
        gain, shift = (
            _MOST_CHANGE * torch.tanh(F.pixel_shuffle(layer(codes), _FOLD_PX))
            for layer in (self.gain, self.shift)
        )
        # Scaled about 0 and moved: a night is a gain far below 1, noise and lamps are shifts.
        return (images * (1 + gain) + shift).clamp(0, 1)


class Discriminator(nn.Module):
    """Scores of overlapping patches, float [B, 1, h, w]: 1 for the target's, 0 for made ones."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (channels, 2 * channels, 2 * channels):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images * 2 - 1)
        return scores


class PatchHeads(nn.Module):
    """A two-layer perceptron for each map; its vectors have length 1.

    Args:
        layer_channels: of the maps.
        channels: of the vectors.
    """

    def __init__(self, layer_channels: Sequence[int], channels: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, channels), nn.ReLU(), nn.Linear(channels, channels))
            for c in layer_channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Vectors [B, P, channels] of each map at its places, int64 [P] in the flattened map."""
        return [
            F.normalize(head(m.flatten(2)[:, :, at].transpose(1, 2)), dim=2)
            for head, m, at in zip(self.heads, maps, places, strict=True)
        ]
