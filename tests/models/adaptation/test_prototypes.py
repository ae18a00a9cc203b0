import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.pixels import LabelledVectors
from models.adaptation.prototypes import (
    PrototypeBank,
    mean_embedding_regulariser,
    prototype_losses,
    prototype_sums,
)

ALL = torch.ones(3, dtype=torch.bool)


def pixels(classes: list[int], vectors: Tensor | None = None, seed: int = 0) -> LabelledVectors:
    if vectors is None:
        drawn = torch.randn(len(classes), 4, generator=torch.Generator().manual_seed(seed))
        vectors = F.normalize(drawn, dim=1)
    return LabelledVectors(vectors, torch.tensor(classes).long(), torch.arange(len(classes)))


def test_sums_are_weighted_and_of_the_heaviest_pixels_alone():
    found = pixels([0, 1, 0, 0])
    sums, totals = prototype_sums(found, torch.tensor([0.1, 0.5, 0.7, 0.4]), 3, most=2)
    v = found.vectors
    torch.testing.assert_close(sums, torch.stack([0.7 * v[2] + 0.4 * v[3], 0.5 * v[1], 0 * v[0]]))
    torch.testing.assert_close(totals, torch.tensor([1.1, 0.5, 0]))


def test_all_weight_on_one_pixel_gives_that_pixel():
    found = pixels([1] * 5)
    sums, totals = prototype_sums(found, torch.tensor([0.0, 0, 1, 0, 0]), 3, most=32)
    bank = PrototypeBank(3, 4)
    bank.update(sums, totals)
    torch.testing.assert_close(bank.vectors[1], found.vectors[2])


def test_the_order_of_pixels_does_not_matter():
    found, weights = pixels([0] * 40, seed=1), torch.linspace(0.1, 1, 40)
    turned = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    for a, b in zip(
        prototype_sums(found, weights, 1, 32),
        prototype_sums(found.at(turned), weights[turned], 1, 32),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_first_sight_is_the_mean_and_later_ones_an_average():
    bank = PrototypeBank(2, 4, momentum=0.6)
    steps = [
        F.normalize(torch.randn(4, generator=torch.Generator().manual_seed(i)), dim=0)
        for i in range(4)
    ]
    expected = torch.zeros(4)
    for n, step in enumerate(steps):
        bank.update(torch.stack([3 * step, torch.zeros(4)]), torch.tensor([3.0, 0]))
        keep = min(1 - 1 / (n + 1), 0.6)
        expected = F.normalize(keep * expected + (1 - keep) * step, dim=0)
        torch.testing.assert_close(bank.vectors[0], expected)
        torch.testing.assert_close(bank.vectors[0].norm(), torch.tensor(1.0))
    assert bank.updates.tolist() == [4, 0]
    assert not bank.vectors[1].any()


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_class_without_pixels_keeps_its_bits(bad):
    bank = PrototypeBank(2, 4)
    bank.update(pixels([0, 1]).vectors, torch.ones(2))
    before = bank.vectors.clone()
    bank.update(torch.stack([torch.ones(4), torch.full((4,), bad)]), torch.tensor([1.0, 1]))
    assert torch.equal(bank.vectors[1], before[1])
    assert not torch.equal(bank.vectors[0], before[0])
    assert bank.updates.tolist() == [2, 1]


def test_the_loss_is_cross_entropy_over_prototypes():
    found, prototypes = pixels([0, 2, 1, 1]), pixels([0, 1, 2], seed=1).vectors
    expected = F.cross_entropy(
        found.vectors @ prototypes.t() / 0.1, found.classes, reduction="none"
    )
    torch.testing.assert_close(prototype_losses(found, prototypes, ALL, 0.1), expected)


def test_a_pixel_at_its_prototype():
    prototypes = torch.eye(4)[:3]
    loss = prototype_losses(pixels([1], prototypes[1:2]), prototypes, ALL, 0.1)
    torch.testing.assert_close(loss, torch.tensor([math.log(1 + 2 * math.exp(-10))]))


def test_a_step_brings_pixels_nearer_and_leaves_prototypes():
    raw = torch.randn(5, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    prototypes = torch.eye(4)[:3].requires_grad_()
    found = pixels([0, 1, 2, 0, 1], F.normalize(raw, dim=1))
    torch.autograd.backward(prototype_losses(found, prototypes, ALL, 0.1).mean())
    assert prototypes.grad is None
    assert raw.grad is not None
    own = prototypes.detach()[found.classes]
    nearer = (F.normalize(raw.detach() - 0.01 * raw.grad, dim=1) * own).sum(1)
    assert (nearer >= (found.vectors.detach() * own).sum(1)).all()


def test_classes_without_prototype_count_neither_way():
    prototypes = torch.eye(4)[:3]
    seen = torch.tensor([True, True, False])
    found = pixels([0, 2])
    expected = F.cross_entropy(found.vectors[:1] @ prototypes[:2].t() / 0.1, torch.tensor([0]))
    losses = prototype_losses(found, prototypes, seen, 0.1)
    torch.testing.assert_close(losses, torch.stack([expected, torch.tensor(0.0)]))
    vectors = found.vectors.clone().requires_grad_()
    none = prototype_losses(pixels([0, 2], vectors), prototypes, ~ALL, 0.1)
    torch.autograd.backward(none.sum())
    assert none.tolist() == [0, 0]
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_the_regulariser_is_highest_where_all_classes_are_alike():
    prototypes = torch.eye(4)[:3]
    uniform = mean_embedding_regulariser(torch.eye(4)[3], prototypes, ALL, 0.1)
    torch.testing.assert_close(uniform, torch.tensor(-1.0))
    vector = F.normalize(torch.tensor([0.3, 0.2, 0.1, 1]), dim=0).requires_grad_()
    value = mean_embedding_regulariser(vector, prototypes, ALL, 0.1)
    assert value.item() < -1
    torch.autograd.backward(value)
    assert vector.grad is not None

    def entropy(v: Tensor) -> float:
        shares = (prototypes @ v / 0.1).softmax(0)
        return float(-(shares * shares.log()).sum())

    # Minimising it, as the public code does, makes the softmax of the mean embedding more peaked.
    assert entropy(vector.detach() - 0.01 * vector.grad) < entropy(vector.detach())


def test_the_regulariser_counts_the_classes_seen():
    prototypes = torch.eye(4)
    for classes in (2, 4):
        seen = torch.arange(4) < classes
        flat = mean_embedding_regulariser(torch.full((4,), 0.5), prototypes, seen, 0.1)
        torch.testing.assert_close(flat, torch.tensor(-1.0))
    alone = mean_embedding_regulariser(torch.ones(4), prototypes, torch.arange(4) < 1, 0.1)
    assert alone.item() == 0
