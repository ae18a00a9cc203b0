"""The samples of each step: drawn by (seed, step, place), so that nothing has to be remembered."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.adaptation.augmentation import Views, strongly_augmented, weakly_augmented
from models.adaptation.class_mix import Donors
from models.adaptation.config import Recipe
from models.adaptation.data import (
    LabelMap,
    RgbImage,
    SourceSamples,
    TargetSample,
    TargetSamples,
)
from models.adaptation.randomness import keyed_rng
from models.adaptation.rare_classes import RareClassSampler
from models.adaptation.region_masks import rejected_mask
from models.adaptation.terms import SourceBatch, TargetBatch
from models.ontology import IGNORE_LABEL


@dataclass(frozen=True, eq=False)
class Batch:
    """All samples of one step of this process.

    Attributes:
        places: number of each sample in the step over all processes.
        target: weak samples of the target.
        source: labelled samples, None without source.
        donors: what is pasted into the target samples.
    """

    places: tuple[int, ...]
    target: TargetBatch
    source: SourceBatch | None
    donors: Donors


class BatchSource:
    """Draws batches.

    Target images are drawn one permutation an epoch, source images by rare classes. Without source,
    donors are other target images, drawn by rare classes among their kept labels.

    Args:
        source: labelled images, or None.
        target: at least one image.
        recipe: sizes, augmentation, temperature.
        donor_pixels: `class_pixels` of the source, of the target where there is no source.
        seed: of the run.
        device: to which batches are moved.
    """

    def __init__(
        self,
        source: SourceSamples | None,
        target: TargetSamples,
        recipe: Recipe,
        donor_pixels: npt.NDArray[np.int64],
        seed: int,
        device: torch.device,
    ) -> None:
        self._source, self._target = source, target
        self._recipe, self._seed, self._device = recipe, seed, device
        self._sampler = RareClassSampler(donor_pixels, recipe.rare_class_temperature)

    def batch(self, step: int, rank: int, processes: int) -> Batch:
        """The samples of a step for one of several processes."""
        size = self._recipe.batch_size
        places = tuple(range(rank * size, (rank + 1) * size))
        target = self._target_batch(step, places, processes)
        if self._source is None:
            return Batch(places, target, None, self._target_donors(step, places))
        source = self._source_batch(step, places)
        ones = torch.ones(source.labels.shape, device=self._device)
        donors = Donors(source.weak_images, source.labels, ones, ones)
        return Batch(places, target, source, donors)

    def _target_batch(self, step: int, places: tuple[int, ...], processes: int) -> TargetBatch:
        samples, views = [], []
        for place in places:
            position = step * self._recipe.batch_size * processes + place
            epoch, number = divmod(position, len(self._target))
            order = keyed_rng(self._seed, "target-order", epoch).permutation(len(self._target))
            sample = self._target[int(order[number])]
            rng = keyed_rng(self._seed, "target-view", step, place)
            samples.append(sample)
            views.append(self._view(sample.image, sample.label, _with_rejected(sample), rng, None))
        return TargetBatch(
            ids=tuple(sample.id for sample in samples),
            images=self._images(views),
            labels=self._labels(views),
            reliability=self._reliability(views),
            image_weights=torch.tensor([s.weight for s in samples], device=self._device).float(),
            reviewed=torch.tensor([s.reviewed for s in samples], device=self._device),
            rejected=self._rejected(views),
        )

    def _source_batch(self, step: int, places: tuple[int, ...]) -> SourceBatch:
        assert self._source is not None
        ids, views = [], []
        for place in places:
            rng = keyed_rng(self._seed, "source", step, place)
            index, wanted = self._sampler.draw(rng)
            sample = self._source[index]
            ids.append(sample.id)
            views.append(self._view(sample.image, sample.label, sample.label, rng, wanted))
        weak = self._images(views)
        strong = strongly_augmented(
            weak, self._recipe.augmentation, self._seed, "source-colours", step, places
        )
        return SourceBatch(tuple(ids), strong, self._labels(views), weak)

    def _target_donors(self, step: int, places: tuple[int, ...]) -> Donors:
        views, image_weights = [], []
        for place in places:
            rng = keyed_rng(self._seed, "donor", step, place)
            index, wanted = self._sampler.draw(rng)
            sample = self._target[index]
            image_weights.append(sample.weight)
            sure = np.full_like(sample.confidence, 255) if sample.reviewed else sample.confidence
            views.append(self._view(sample.image, sample.label, sure, rng, wanted))
        labels, reliability = self._labels(views), self._reliability(views)
        weights = reliability if self._recipe.reliability_weights else (labels != 255).float()
        each = torch.tensor(image_weights, device=self._device).float()
        return Donors(self._images(views), labels, weights * each[:, None, None], reliability)

    def _view(
        self,
        image: RgbImage,
        label: LabelMap,
        confidence: LabelMap,
        rng: np.random.Generator,
        wanted: int | None,
    ) -> Views:
        recipe = self._recipe
        return weakly_augmented(
            image, label, confidence, recipe.crop_hw, recipe.augmentation, rng, wanted
        )

    def _images(self, views: Sequence[Views]) -> Tensor:
        stacked = torch.from_numpy(np.stack([view.image for view in views])).to(self._device)
        # [B, H, W, 3] seen as [B, 3, H, W] is the channels-last layout already.
        return stacked.permute(0, 3, 1, 2).float().div_(255)

    def _labels(self, views: Sequence[Views]) -> Tensor:
        stacked = torch.from_numpy(np.stack([view.label for view in views]))
        return stacked.to(self._device).long()

    def _reliability(self, views: Sequence[Views]) -> Tensor:
        """r of the labels, 0 where ignored, whatever the file says there."""
        confidence = np.stack([view.confidence for view in views]).astype(np.float32) / 255
        confidence[np.stack([view.label for view in views]) == IGNORE_LABEL] = 0
        return torch.from_numpy(confidence).to(self._device)

    def _rejected(self, views: Sequence[Views]) -> Tensor:
        """Pixels of rejected regions, see `_with_rejected`."""
        marked = [(v.label == IGNORE_LABEL) & (v.confidence > 0) for v in views]
        return torch.from_numpy(np.stack(marked)).to(self._device)


def _with_rejected(sample: TargetSample) -> LabelMap:
    """The confidence of a label; of pixels without one, 1 in rejected regions and 0 elsewhere.

    So that what was rejected is cropped and mirrored with the rest.
    """
    rejected = rejected_mask(sample.regions, sample.label.shape)
    return np.where(sample.label == IGNORE_LABEL, rejected, sample.confidence).astype(np.uint8)
