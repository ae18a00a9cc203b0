"""Labels of regions in training: rejected ones stay unlabelled, rare ones are pasted.

SeCo (Zhao et al., NeurIPS 2024, section 3.4), a reconstruction: the public code has neither.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from models.adaptation.data import TargetSamples
from models.adaptation.rare_classes import RareClassSampler
from models.adaptation.region_pool import PooledRegion, cut_out, pasted, pooled_regions
from models.adaptation.terms import (
    LossTerm,
    MixedBatch,
    PseudoLabels,
    StepInputs,
    StepOutputs,
    TermContext,
    TermResult,
)
from models.config_checks import check, is_integer, is_number
from models.ontology import IGNORE_LABEL


@dataclass(frozen=True)
class ConnectivitySettings:
    """Settings of the term `connectivity`.

    Attributes:
        weight: of pasted pixels in the loss, times the reliability of their region.
        regions_of_image: how many are pasted into each mixed image.
        temperature: of the choice of classes, as in rare-class sampling.
        least_area_px: smaller regions are not pasted.
        largest_share: of an image; larger regions are not pasted.
        least_reliability: mean r of a region below which it is not pasted.
        shift_px: how far up or down a region may move; it keeps its height in the image otherwise,
            since classes have their places in a street.
    """

    weight: float = 1.0
    regions_of_image: int = 3
    temperature: float = 0.1
    least_area_px: int = 24
    largest_share: float = 0.1
    least_reliability: float = 0.6
    shift_px: int = 12

    def __post_init__(self) -> None:
        for name, least, most in (
            ("weight", 0, 1e3),
            ("temperature", 1e-3, 1e3),
            ("largest_share", 0, 1),
            ("least_reliability", 0, 1),
        ):
            what = f"a number from {least} to {most:g}"
            check(is_number(getattr(self, name), least, most), name, what)
        for name, lowest, highest in (
            ("regions_of_image", 0, 64),
            ("least_area_px", 1, 1 << 20),
            ("shift_px", 0, 4096),
        ):
            what = f"an integer from {lowest} to {highest}"
            check(is_integer(getattr(self, name), lowest, highest), name, what)


class Connectivity(LossTerm):
    """Region copy-paste, and rejected regions without a label. It has no loss of its own: what it
    changes is learnt through the losses of the base. The same in all settings.
    """

    name = "connectivity"

    def __init__(self, settings: ConnectivitySettings, context: TermContext) -> None:
        super().__init__(settings.weight)
        self._settings = settings
        self._num_classes = context.num_classes
        self._target: TargetSamples | None = None
        self._pool: list[PooledRegion] = []
        self._sampler: RareClassSampler | None = None

    def prepare(self, target: TargetSamples) -> None:
        settings = self._settings
        self._target = target
        self._pool = pooled_regions(
            target, settings.least_area_px, settings.largest_share, settings.least_reliability
        )
        areas = np.zeros((len(self._pool), self._num_classes), np.int64)
        for row, region in enumerate(self._pool):
            areas[row, region.class_id] = region.area_px
        self._sampler = RareClassSampler(areas, settings.temperature) if self._pool else None

    def adjust_pseudo(self, pseudo: PseudoLabels, inputs: StepInputs) -> PseudoLabels:
        """Where a region was rejected no label of the teacher fills the hole."""
        rejected = inputs.target.rejected & ~inputs.target.reviewed[:, None, None]
        return replace(
            pseudo,
            labels=pseudo.labels.masked_fill(rejected, IGNORE_LABEL),
            weights=pseudo.weights.masked_fill(rejected, 0),
            reliability=pseudo.reliability.masked_fill(rejected, 0),
        )

    def adjust_mixed(self, mixed: MixedBatch, inputs: StepInputs) -> MixedBatch:
        if self._sampler is None or self._target is None:
            return mixed
        for sample in range(len(mixed.labels)):
            rng = inputs.rng("region-paste", sample)
            for _ in range(self._settings.regions_of_image):
                mixed = self._paste_one(mixed, sample, rng)
        return mixed

    def forward(self, outputs: StepOutputs) -> TermResult:
        return TermResult(torch.zeros((), device=outputs.mixed.weights.device))

    def _paste_one(self, mixed: MixedBatch, sample: int, rng: np.random.Generator) -> MixedBatch:
        assert self._sampler is not None
        assert self._target is not None
        index, _ = self._sampler.draw(rng)
        region = self._pool[index]
        patch = cut_out(region, self._target, mirrored=bool(rng.random() < 0.5))
        height, width = mixed.labels.shape[1:]
        image_height = self._target[region.sample].label.shape[0]
        shift = int(rng.integers(-self._settings.shift_px, self._settings.shift_px + 1))
        top = round(region.box_xyxy[1] * height / image_height) + shift
        left = int(rng.integers(0, max(1, width - patch.mask.shape[1] + 1)))
        return pasted(mixed, sample, patch, top, left, self.weight)
