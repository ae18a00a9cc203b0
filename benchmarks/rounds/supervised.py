"""Training with labels, by the sampling, augmentation and schedule of the rounds.

It makes the model that all rows start from, and the oracle, which goes on with target labels.
"""

import copy

import torch
from rich.progress import track

from benchmarks.rounds.data import ImageSet
from models.adaptation.augmentation import strongly_augmented, weakly_augmented
from models.adaptation.config import Recipe
from models.adaptation.data import SourceSample
from models.adaptation.losses import labelled_loss
from models.adaptation.randomness import keyed_rng
from models.adaptation.rare_classes import RareClassSampler, class_pixels
from models.adaptation.resolution import upsampled
from models.adaptation.training import rate_factor
from models.segmentation.compact import CompactSegmenter


def train_supervised(
    initial: CompactSegmenter,
    data: ImageSet,
    recipe: Recipe,
    steps: int,
    seed: int,
    images_in_a_step: int,
    learning_rate: float,
) -> CompactSegmenter:
    """A copy of a network trained on, in evaluation mode.

    Args:
        initial: not changed; its device is where the copy trains.
        data: with its labels.
        recipe: crops, augmentation, temperature, decay.
        steps: of the optimiser.
        seed: of all draws.
        images_in_a_step: so many samples.
        learning_rate: peak.
    """
    network = copy.deepcopy(initial).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, weight_decay=recipe.weight_decay
    )
    samples = (SourceSample(name, *data[index]) for index, name in enumerate(data.ids))
    pixels = class_pixels(samples, network.num_classes)
    sampler = RareClassSampler(pixels, recipe.rare_class_temperature)
    places = tuple(range(images_in_a_step))
    device = next(network.parameters()).device
    for step in track(range(steps), description="train with labels"):
        views = []
        for place in places:
            rng = keyed_rng(seed, "supervised", step, place)
            index, wanted = sampler.draw(rng)
            image, label = data[index]
            views.append(
                weakly_augmented(
                    image, label, label, recipe.crop_hw, recipe.augmentation, rng, wanted
                )
            )
        weak = torch.stack([torch.from_numpy(view.image) for view in views]).to(device)
        images = strongly_augmented(
            weak.permute(0, 3, 1, 2).float() / 255,
            recipe.augmentation,
            seed,
            "supervised-colours",
            step,
            places,
        )
        labels = torch.stack([torch.from_numpy(view.label) for view in views]).to(device).long()
        loss = labelled_loss(upsampled(network(images).logits, recipe.crop_hw), labels)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate_factor(step, steps, recipe.warm_up)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
    return network.eval()
