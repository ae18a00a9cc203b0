"""Training examples as tensors: drawn by processes of their own, masks made where they are used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.region_model.samples import Sample, Source, draw_sample

_ATTEMPTS = 8


class LabelledSources(Protocol):
    """Anything indexable that gives image, label and instances (or None)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Source: ...


@dataclass(frozen=True)
class SampleBatch:
    """B training examples; fields as those of `Sample`.

    Attributes:
        images: uint8 [B, S, S, 3].
        segments: int32 [B, S, S].
        numbers: int32 [B, P].
        boxes_xyxy: float32 [B, P, 4].
        points_xy: float32 [B, P, 2, 2].
    """

    images: Tensor
    segments: Tensor
    numbers: Tensor
    boxes_xyxy: Tensor
    points_xy: Tensor

    def to(self, device: torch.device) -> "SampleBatch":
        return SampleBatch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})

    def masks(self, side: int) -> Tensor:
        """Share of each place that belongs to the segment asked for, float32 [B·P, side, side]."""
        asked = self.segments[:, None] == self.numbers[:, :, None, None]
        return _shares(asked.flatten(0, 1), side)

    def valid(self, side: int) -> Tensor:
        """Share of each place that is annotated image, for each prompt, [B·P, side, side]."""
        shares = _shares(self.segments > 0, side)
        return shares.repeat_interleave(self.numbers.shape[1], dim=0)

    def pure(self, side: int) -> Tensor:
        """The one segment that fills each place, int64 [B, side, side]; 0 for none."""
        numbers = self.segments[:, None].float()
        step = self.segments.shape[-1] // side
        most = F.max_pool2d(numbers, step)
        return torch.where(most == -F.max_pool2d(-numbers, step), most, 0.0)[:, 0].long()


def draw_batches(
    sources: LabelledSources | Sequence[Source],
    square_px: int,
    *,
    seed: int,
    batch_size: int,
    first_step: int,
    steps: int,
    workers: int,
) -> Iterator[SampleBatch]:
    """The batches of steps `first_step` to `steps`; what is drawn does not depend on `workers`.

    Raises:
        ValueError: the images hold hardly any segment of 30 pixels.
    """
    samples = _Samples(sources, square_px, seed, first_step * batch_size, steps * batch_size)
    # They draw ahead. What they draw does not depend on when, so a resume needs no more.
    yield from DataLoader(
        samples,
        batch_size=batch_size,
        collate_fn=as_batch,
        num_workers=workers,
        prefetch_factor=8,
    )


def as_batch(samples: Sequence[Sample]) -> SampleBatch:
    """The samples one above the other."""
    stacked = {
        name: torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))
        for name in ("segments", "numbers", "boxes_xyxy", "points_xy")
    }
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return SampleBatch(images, **stacked)


class _Samples(Dataset[Sample]):
    """Training example i of a run, drawn anew from (seed, i)."""

    def __init__(
        self,
        sources: LabelledSources | Sequence[Source],
        square_px: int,
        seed: int,
        first: int,
        end: int,
    ) -> None:
        self.sources, self.square_px, self.seed = sources, square_px, seed
        self.first, self.end = first, end

    def __len__(self) -> int:
        return self.end - self.first

    def __getitem__(self, offset: int) -> Sample:
        position = self.first + offset
        epoch, place = divmod(position, len(self.sources))
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.sources))
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([self.seed, 2, position, attempt])
            source = self.sources[int(order[(place - attempt) % len(order)])]
            sample = draw_sample(source, self.square_px, rng)
            if sample is not None:
                return sample
        raise ValueError("the training images hold hardly any segment of 30 pixels")


def _shares(inside: Tensor, side: int) -> Tensor:
    """Means over equal blocks, bool [N, S, S] to float32 [N, side, side]."""
    return F.avg_pool2d(inside[:, None].float(), inside.shape[-1] // side)[:, 0]
