from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.connectivity.features import FeatureMap, mean_over_regions
from models.connectivity.head import Head
from models.connectivity.mixture import fit_two_gaussians
from models.connectivity.training import (
    Task,
    TrainingSettings,
    connectivity_loss,
    cross_entropy,
    cross_fit,
    fit_head,
)
from tests.models.connectivity.region_toys import CLASSES, toy

torch.set_num_threads(1)
QUICK = TrainingSettings(hidden=32, round_steps=16, learning_rate=3e-3)


def task_of(found: Any) -> Any:
    return Task(found.vectors, found.given.astype(np.int64), found.images % 3, CLASSES, 3)


def losses_of(found: Any, fit: Any) -> Any:
    return cross_entropy(fit.scores, found.given)


def shares_of_flipped(found: Any, losses: Any) -> Any:
    """In the group of high losses, and in that of low ones, split at tau_ns; and Ashman's D."""
    mixture = fit_two_gaussians(losses)
    assert mixture is not None
    high = mixture.posterior(losses) > 0.6
    return found.flipped[high].mean(), found.flipped[~high].mean(), mixture.separation


@pytest.mark.parametrize("noise", [0.2, 0.3, 0.4])
def test_flipped_regions_gather_in_the_group_of_high_losses(noise):
    found = toy(noise=noise, distance=2.5)
    high, low, separation = shares_of_flipped(
        found, losses_of(found, cross_fit(task_of(found), QUICK))
    )
    assert high > 0.8
    assert low < 0.1
    assert separation > 2


def test_with_long_fitting_the_groups_come_closer():
    found = toy(count=600, noise=0.4, distance=2.5)
    task = task_of(found)
    wide = replace(QUICK, hidden=128, input_dropout=0.0)
    results = []
    for rounds in (4, 30):
        scores = np.zeros((600, CLASSES), np.float32)
        for fold in range(3):
            inside = task.folds == fold
            outside = replace(
                task,
                vectors=task.vectors[~inside],
                targets=task.targets[~inside],
                folds=task.folds[~inside],
            )
            scores[inside] = fit_head(outside, wide, rounds).scores(task.vectors[inside])
        results.append(shares_of_flipped(found, cross_entropy(scores, found.given)))
    (high, low, separation), (long_high, long_low, long_separation) = results
    assert long_separation < separation - 0.2
    assert long_high < high - 0.05
    assert long_low > low + 0.02


def test_a_head_has_not_seen_the_fold_that_it_scores():
    found = toy(count=300)
    task = task_of(found)
    first = cross_fit(task, QUICK)
    # Other classes inside fold 0 leave the head that scores fold 0 as it was.
    inside = task.folds == 0
    changed = task.targets.copy()
    changed[inside] = (changed[inside] + 1) % CLASSES
    settings = replace(QUICK, most_rounds=first.rounds, patience=100)
    again = cross_fit(replace(task, targets=changed), replace(settings, most_rounds=1))
    one_round = cross_fit(task, replace(settings, most_rounds=1))
    assert (again.heads[0].weight_in == one_round.heads[0].weight_in).all()
    assert (again.heads[1].weight_in != one_round.heads[1].weight_in).any()
    assert (first.scores[inside] == first.heads[0].scores(task.vectors[inside])).all()


def test_the_round_of_lowest_held_out_loss_is_taken():
    fit = cross_fit(task_of(toy(count=300)), replace(QUICK, most_rounds=8, patience=2))
    losses = fit.held_out_losses
    assert losses[fit.rounds - 1] == min(losses)
    assert len(losses) == min(8, fit.rounds + 2)


def test_the_same_seed_gives_the_same_heads():
    task = task_of(toy(count=200))
    one, same = (cross_fit(task, QUICK) for _ in range(2))
    other = cross_fit(task, replace(QUICK, seed=5))
    assert (one.scores == same.scores).all()
    assert (one.scores != other.scores).any()


def test_the_scores_of_a_head_are_those_of_the_network_that_was_fitted():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 7), 7, (7, 3), 3)]
    head = Head(np.full(5, 0.5, np.float32), np.full(5, 2, np.float32), *parts)
    vectors = rng.normal(size=(4, 5)).astype(np.float16)
    first, last = nn.Linear(5, 7), nn.Linear(7, 3)
    network = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        for layer, (weight, bias) in ((first, parts[:2]), (last, parts[2:])):
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(bias))
        expected = network((torch.from_numpy(vectors).float() - 0.5) / 2)
    np.testing.assert_allclose(head.scores(vectors), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_a_column_that_does_not_vary_is_harmless():
    vectors = np.array([[3.0, 1.0], [3.0, -1.0], [3.0, 2.0]], np.float16)
    head = fit_head(Task(vectors, np.array([0, 1, 0]), np.arange(3), 2, 3), QUICK, rounds=1)
    assert head.mean.tolist() == pytest.approx([3.0, 2 / 3])
    assert head.scale.tolist() == pytest.approx([1.0, np.std([1, -1, 2])])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_of_equation_2_match_finite_differences(smoothing):
    """From the feature map through pooling, perceptron and loss, in float64."""
    torch.manual_seed(0)
    components = np.array([[1, 1, 2, 0], [1, 2, 2, 0], [3, 3, 0, 2]], np.int32)
    targets = torch.tensor([0, 2, 1])
    features = torch.randn(5, 3, 2, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(5, 6), torch.randn(6), torch.randn(6, 3), torch.randn(3)]
    weights = [weight.double().requires_grad_() for weight in weights]

    def loss(features, weight_in, bias_in, weight_out, bias_out):
        pooled = mean_over_regions(components, 3, FeatureMap(features, (3, 4)))
        # Smooth, so that finite differences do not step over a bend.
        scores = torch.tanh(pooled @ weight_in + bias_in) @ weight_out + bias_out
        return connectivity_loss(scores, targets, smoothing)

    assert torch.autograd.gradcheck(loss, (features, *weights))


def test_equation_2_by_hand():
    scores = torch.tensor([[1.0, 2.0], [0.5, 0.5]])
    loss = connectivity_loss(scores, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(np.log(1 + np.e) + np.log(2))
    found = cross_entropy(scores.numpy(), np.array([0, 1]))
    np.testing.assert_allclose(found, [np.log(1 + np.e), np.log(2)], rtol=1e-6)


def test_cross_entropy_of_far_apart_scores_is_finite_and_not_negative():
    scores = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    assert cross_entropy(scores, np.array([0, 0])).tolist() == [0, 2e4]
    assert cross_entropy(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8)).shape == (0,)
