"""Class mix on images of 4 x 4."""

import numpy as np
import torch

from models.adaptation.class_mix import Donors, class_mix, drawn_classes, paste_mask
from models.adaptation.terms import PseudoLabels

DONOR = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 255, 255], [2, 2, 255, 255]]])
BELOW = torch.tensor([[[5, 5, 5, 5], [255, 255, 255, 255], [5, 5, 5, 5], [255, 255, 255, 255]]])


def pseudo(labels: torch.Tensor = BELOW) -> PseudoLabels:
    kept = (labels != 255).float()
    return PseudoLabels(labels, 0.5 * kept, 0.25 * kept, torch.full((1, 6, 4, 4), 1 / 6))


def donors() -> Donors:
    ones = torch.ones(1, 4, 4)
    return Donors(torch.full((1, 3, 4, 4), 0.9), DONOR, ones, ones)


def test_half_of_the_classes_rounded_up_are_drawn_and_never_255():
    for key in range(50):
        drawn = drawn_classes(DONOR[0], 0.5, np.random.default_rng(key))
        assert len(drawn) == 2
        assert set(drawn) < {0, 1, 2}


def test_all_and_none_can_be_drawn():
    rng = np.random.default_rng(0)
    assert drawn_classes(DONOR[0], 1.0, rng) == [0, 1, 2]
    assert drawn_classes(DONOR[0], 0.0, rng) == []
    assert drawn_classes(torch.full((4, 4), 255), 0.5, rng) == []


def test_a_pasted_pixel_brings_image_label_weight_and_reliability():
    mask = paste_mask(DONOR, [[1]])
    assert mask.int().tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]]
    mixed = class_mix(torch.full((1, 3, 4, 4), 0.1), pseudo(), donors(), mask)
    assert mixed.labels.tolist() == [
        [[5, 5, 1, 1], [255, 255, 1, 1], [5, 5, 5, 5], [255, 255, 255, 255]]
    ]
    assert mixed.weights.tolist() == [
        [[0.5, 0.5, 1, 1], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0]]
    ]
    assert mixed.reliability[0, :2].tolist() == [[0.25, 0.25, 1, 1], [0, 0, 1, 1]]
    assert mixed.images[0, 0, 0].tolist() == torch.tensor([0.1, 0.1, 0.9, 0.9]).tolist()


def test_what_is_ignored_below_stays_ignored():
    mixed = class_mix(torch.zeros(1, 3, 4, 4), pseudo(), donors(), paste_mask(DONOR, [[]]))
    assert mixed.labels.equal(BELOW)
    assert not mixed.pasted.any()
    assert mixed.kept.equal(BELOW != 255)
