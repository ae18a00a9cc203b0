"""Weak and strong augmentation."""

import numpy as np
import torch

from models.adaptation.augmentation import strongly_augmented, weakly_augmented
from models.adaptation.config import Augmentation

STILL = Augmentation(scale=(1, 1), flip=0, gamma=(1, 1), gain=(1, 1), channel_gain=(1, 1), noise=0)
LABEL = np.arange(16, dtype=np.uint8).reshape(4, 4)
IMAGE = np.repeat(LABEL[..., None] * 10, 3, axis=2)


def rng(key: int = 0) -> np.random.Generator:
    return np.random.default_rng(key)


def test_without_ranges_nothing_changes():
    views = weakly_augmented(IMAGE, LABEL, LABEL, (4, 4), STILL, rng())
    assert (views.image == IMAGE).all()
    assert (views.label == LABEL).all()
    images = torch.rand(2, 3, 4, 4)
    assert strongly_augmented(images, STILL, 0, "x", 0, (0, 1)).equal(images)


def test_image_and_maps_move_together():
    mirrored = Augmentation(scale=(1, 1), flip=1)
    views = weakly_augmented(IMAGE, LABEL, LABEL + 1, (2, 3), mirrored, rng())
    assert (views.image[..., 0] == views.label * 10).all()
    assert (views.confidence == views.label + 1).all()
    assert (np.diff(views.label.astype(int), axis=1) == -1).all()


def test_beyond_the_image_nothing_is_labelled():
    views = weakly_augmented(IMAGE, LABEL, LABEL, (6, 4), STILL, rng())
    beyond = views.label == 255
    assert beyond.sum() == 8
    assert (views.confidence[beyond] == 0).all()


def test_a_crop_with_more_of_a_wanted_class_is_taken():
    label = np.zeros((8, 64), np.uint8)
    label[:, 40:48] = 1
    image = np.zeros((8, 64, 3), np.uint8)

    def pixels(wanted: int | None) -> int:
        return sum(
            int(
                (
                    weakly_augmented(image, label, label, (8, 8), STILL, rng(k), wanted).label == 1
                ).sum()
            )
            for k in range(20)
        )

    assert pixels(1) > 2 * pixels(None)


def test_the_same_key_draws_the_same_and_images_are_drawn_apart():
    config = Augmentation()
    images = torch.full((2, 3, 4, 4), 0.5)
    first = strongly_augmented(images, config, 0, "x", 3, (0, 1))
    assert first.equal(strongly_augmented(images, config, 0, "x", 3, (0, 1)))
    assert first[1:].equal(strongly_augmented(images[1:], config, 0, "x", 3, (1,)))
    assert not first[0].equal(first[1])
    assert first.min() >= 0
    assert first.max() <= 1


def test_gamma_and_gain_do_what_they_say():
    config = Augmentation(gamma=(2, 2), gain=(0.5, 0.5), channel_gain=(1, 1), noise=0)
    images = torch.full((1, 3, 1, 1), 0.8)
    found = strongly_augmented(images, config, 0, "x", 0, (0,))
    torch.testing.assert_close(found, torch.full((1, 3, 1, 1), 0.32))
