"""Frozen labels and the teacher's, on images of 2 x 2."""

import pytest
import torch

from models.adaptation.config import Recipe
from models.adaptation.pseudo_labels import pseudo_labels
from models.adaptation.terms import TargetBatch

FROZEN = torch.tensor([[[0, 1], [255, 255]]])
RELIABILITY = torch.tensor([[[0.5, 0.75], [0.0, 0.0]]])
# Most probable class 2 everywhere; sure of it in the right column alone.
PROBABILITIES = torch.tensor([[[0.2, 0.02]] * 2, [[0.2, 0.02]] * 2, [[0.6, 0.96]] * 2])[None]


def target(weight: float = 1.0, reviewed: bool = False) -> TargetBatch:
    return TargetBatch(
        ids=("a",),
        images=torch.zeros(1, 3, 2, 2),
        labels=FROZEN,
        reliability=RELIABILITY,
        image_weights=torch.tensor([weight]),
        reviewed=torch.tensor([reviewed]),
        rejected=torch.zeros(FROZEN.shape, dtype=torch.bool),
    )


def test_frozen_labels_alone():
    found = pseudo_labels(target(), PROBABILITIES, Recipe(labels="frozen"))
    assert found.labels.equal(FROZEN)
    assert found.weights.equal(RELIABILITY)
    assert found.kept.tolist() == [[[True, True], [False, False]]]


def test_the_teacher_alone_where_it_is_sure():
    found = pseudo_labels(target(), PROBABILITIES, Recipe(labels="online"))
    assert found.labels.tolist() == [[[255, 2], [255, 2]]]
    torch.testing.assert_close(found.weights, torch.tensor([[[0, 0.96], [0, 0.96]]]))


def test_holes_of_the_frozen_labels_are_filled_by_a_teacher_that_is_sure():
    found = pseudo_labels(target(), PROBABILITIES, Recipe(labels="combined"))
    assert found.labels.tolist() == [[[0, 1], [255, 2]]]
    torch.testing.assert_close(found.reliability, torch.tensor([[[0.5, 0.75], [0, 0.96]]]))


@pytest.mark.parametrize(("threshold", "label"), [(0.96, 2), (0.97, 255)])
def test_a_threshold_is_reached_by_equality(threshold, label):
    recipe = Recipe(labels="combined", online_threshold=float(torch.tensor(threshold)))
    assert pseudo_labels(target(), PROBABILITIES, recipe).labels[0, 1, 1] == label


def test_weights_are_those_of_the_image_and_of_r():
    found = pseudo_labels(target(weight=2.0), PROBABILITIES, Recipe(labels="frozen"))
    assert found.weights.tolist() == [[[1.0, 1.5], [0, 0]]]
    unweighted = Recipe(labels="frozen", reliability_weights=False)
    found = pseudo_labels(target(weight=2.0), PROBABILITIES, unweighted)
    assert found.weights.tolist() == [[[2.0, 2.0], [0, 0]]]


def test_reviewed_labels_are_certain_but_where_there_are_none():
    found = pseudo_labels(target(reviewed=True), PROBABILITIES, Recipe(labels="frozen"))
    assert found.reliability.tolist() == [[[1, 1], [0, 0]]]
