"""A generator that learns the target's style while the segmenter learns its classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adaptation.processes import add_up_gradients
from models.adaptation.prototypes_settings import PrototypesSettings
from models.adaptation.style_losses import (
    discriminator_loss,
    generator_loss,
    mean_patch_nce,
    without_own_gradient,
)
from models.adaptation.style_network import Discriminator, Generator, PatchHeads


@dataclass(frozen=True, eq=False)
class Translation:
    """Source images in the style of the target.

    Attributes:
        images: float [B, 3, H, W], with gradient while the generator learns.
        maps: of the source images, from `Generator.encode`.
        source, target: the images that it was made of.
    """

    images: Tensor
    maps: Sequence[Tensor]
    source: Tensor
    target: Tensor


class StyleModule(nn.Module):
    """Generator, discriminator and patch heads, with the optimiser of their own.

    Args:
        settings: sizes and weights.
        embedding_channels: d; a linear map of embeddings of translated images is learnt too.
    """

    def __init__(self, settings: PrototypesSettings, embedding_channels: int) -> None:
        super().__init__()
        self._settings = settings
        self.generator = Generator(settings.style_channels, settings.style_blocks)
        self.discriminator = Discriminator(settings.style_channels)
        self.heads = PatchHeads(self.generator.layer_channels)
        # R of the digest: begins as the identity, since images begin unchanged.
        self.embedding = nn.Conv2d(embedding_channels, embedding_channels, 1)
        nn.init.eye_(self.embedding.weight[:, :, 0, 0].data)
        assert self.embedding.bias is not None
        nn.init.zeros_(self.embedding.bias)
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=settings.style_learning_rate, betas=(0.5, 0.999)
        )

    def translate(self, source: Tensor, target: Tensor, learning: bool) -> Translation:
        """The translation of source images, padded to what the generator takes and cut again."""
        height, width = source.shape[2:]
        with torch.set_grad_enabled(learning):
            maps = self.generator.encode(_padded(source))
            images = self.generator.decode(_padded(source), maps[-1])[..., :height, :width]
        return Translation(images, maps, source, target)

    def losses(self, translation: Translation, generator: torch.Generator) -> dict[str, Tensor]:
        """Of discriminator, generator and patches, by name; each reaches its own player alone."""
        images, target = translation.images, translation.target
        judge = self.discriminator
        found = {
            "discriminator": discriminator_loss(judge(images.detach()), judge(target)),
            "adversarial": generator_loss(without_own_gradient(judge, images)),
            "patches": self._patches(translation.maps, images, generator),
        }
        if self._settings.identity:
            maps = self.generator.encode(_padded(target))
            again = self.generator.decode(_padded(target), maps[-1])
            same = self._patches(maps, again, generator)
            found["patches"] = (found["patches"] + same) / 2
        return found

    def step(self) -> None:
        """Moves generator, discriminator and heads; their gradients are added up and taken."""
        add_up_gradients(self.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _patches(
        self, before: Sequence[Tensor], images: Tensor, generator: torch.Generator
    ) -> Tensor:
        after = self.generator.encode(_padded(images))
        places = [
            torch.randint(
                m.shape[2] * m.shape[3], (self._settings.patches,), generator=generator
            ).to(m.device)
            for m in before
        ]
        with torch.no_grad():
            keys = self.heads(before, places)
        return mean_patch_nce(self.heads(after, places), keys)


def _padded(images: Tensor) -> Tensor:
    """Height and width rounded up to multiples of 4."""
    bottom, right = -images.shape[2] % 4, -images.shape[3] % 4
    if not bottom and not right:
        return images
    return F.pad(images, (0, right, 0, bottom), mode="replicate")
