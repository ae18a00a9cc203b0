"""A SAM and labelled images that take no time."""

import numpy as np
import torch
from segment_anything.modeling import Sam

from benchmarks.region_model.samples import Source
from models.promptable.sam_architecture import build_sam
from tests.models.promptable.tiny import TINY

ARCHITECTURE = TINY


def random_sam(seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    return build_sam(ARCHITECTURE).eval()


def tiny_sources(count: int = 3) -> list[Source]:
    """Images of 48 x 64 in two halves of different grey, each with an instance in the middle."""
    rng = np.random.default_rng(0)
    sources: list[Source] = []
    for _ in range(count):
        label = np.zeros((48, 64), np.uint8)
        label[:, 32:] = 1
        label[14:34, 20:44] = 2
        image = (label[..., None] * 80 + rng.integers(0, 60, (48, 64, 3))).astype(np.uint8)
        sources.append((image, label, (label == 2).astype(np.uint8)))
    return sources


class Interrupted(Exception):
    pass


class BreaksAfter:
    """Sources whose reader dies after a number of reads."""

    def __init__(self, sources: list[Source], reads: int) -> None:
        self.sources, self.reads = sources, reads

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Source:
        if self.reads == 0:
            raise Interrupted
        self.reads -= 1
        return self.sources[index]
