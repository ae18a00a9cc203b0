import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.pixels import LabelledVectors, labelled_vectors
from models.adaptation.pull import ClassDraw, draw_contrast, info_nce, pull_loss


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(count: int, classes: list[int], seed: int, channels: int = 4) -> LabelledVectors:
    drawn = torch.randn(count, channels, generator=generator(seed), dtype=torch.float64)
    return LabelledVectors(
        F.normalize(drawn, dim=1).requires_grad_(), torch.tensor(classes), torch.arange(count)
    )


SOURCE = vectors(6, [0, 0, 1, 1, 2, 2], seed=1)
TARGET = vectors(4, [0, 1, 2, 2], seed=2)
QUERIES = vectors(5, [0, 0, 1, 2, 2], seed=3)


def drawn(negatives: int = 7) -> list[ClassDraw]:
    return draw_contrast(
        QUERIES.classes, SOURCE.classes, TARGET.classes, 3, 2, negatives, generator()
    )


def test_queries_are_of_their_class_and_negatives_are_not():
    found = drawn()
    assert [d.class_id for d in found] == [0, 1, 2]
    for draw in found:
        assert (QUERIES.classes[draw.queries] == draw.class_id).all()
        assert (SOURCE.classes[draw.of_source] != draw.class_id).all()
        assert (TARGET.classes[draw.of_target] != draw.class_id).all()


def test_both_domains_give_as_many_negatives():
    for draw in drawn(7):
        assert (len(draw.of_source), len(draw.of_target)) == (4, 3)
    # Also where one has a single pixel of another class, which is then drawn again and again.
    few = draw_contrast(torch.tensor([0]), SOURCE.classes, torch.tensor([1]), 3, 2, 8, generator())
    assert (len(few[0].of_source), len(few[0].of_target)) == (4, 4)


def test_a_domain_without_other_classes_leaves_its_half_to_the_other():
    (draw,) = draw_contrast(
        torch.tensor([0]), SOURCE.classes, torch.tensor([0]), 3, 2, 6, generator()
    )
    assert (len(draw.of_source), len(draw.of_target)) == (6, 0)
    (draw,) = draw_contrast(
        torch.tensor([0]), torch.tensor([0]), TARGET.classes, 3, 2, 6, generator()
    )
    assert (len(draw.of_source), len(draw.of_target)) == (0, 6)


def test_classes_without_a_key_or_a_negative_are_left_out():
    assert (
        draw_contrast(torch.tensor([1]), torch.tensor([0]), torch.tensor([0]), 2, 2, 6, generator())
        == []
    )
    assert (
        draw_contrast(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), 2, 2, 6, generator())
        == []
    )
    empty = torch.zeros(0, dtype=torch.int64)
    assert draw_contrast(empty, SOURCE.classes, TARGET.classes, 3, 2, 6, generator()) == []


def test_the_loss_is_cross_entropy_with_the_positive_first():
    queries, positives, negatives = (
        F.normalize(torch.randn(n, 4, generator=generator(n)), dim=1) for n in (3, 3, 5)
    )
    logits = torch.cat([(queries * positives).sum(1, keepdim=True), queries @ negatives.t()], 1)
    expected = F.cross_entropy(logits / 0.2, torch.zeros(3).long(), reduction="none")
    torch.testing.assert_close(info_nce(queries, positives, negatives, 0.2), expected)


def test_keys_that_coincide_give_the_logarithm_of_their_number():
    one = F.normalize(torch.ones(1, 4), dim=1)
    loss = info_nce(one, one, one.expand(7, 4), 0.2)
    torch.testing.assert_close(loss, torch.tensor([math.log(8)]))
    assert info_nce(one, one, -one.expand(7, 4), 0.01).item() == 0


def loss_of(weights: Tensor, positives: str = "centre") -> Tensor:
    return pull_loss(QUERIES, SOURCE, TARGET, drawn(), weights, 0.2, positives)


def test_the_sum_over_classes_written_out():
    weights = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for draw in drawn():
        centre = F.normalize(SOURCE.vectors[SOURCE.classes == draw.class_id].mean(0), dim=0)
        for row in draw.queries:
            query = QUERIES.vectors[row]
            own = (query @ centre / 0.2).exp()
            others = torch.zeros((), dtype=torch.float64)
            for bank, rows in ((SOURCE, draw.of_source), (TARGET, draw.of_target)):
                for j in rows:
                    others = others + (query @ bank.vectors[j] / 0.2).exp()
            loss = -(own / (own + others)).log()
            expected += weights[draw.class_id] * loss / len(draw.queries) / 3
    torch.testing.assert_close(loss_of(weights), expected)


@pytest.mark.parametrize("positives", ["centre", "paired"])
def test_only_target_like_features_move(positives):
    for bank in (SOURCE, TARGET, QUERIES):
        bank.vectors.grad = None
    torch.autograd.backward(loss_of(torch.ones(3, dtype=torch.float64), positives))
    assert SOURCE.vectors.grad is None
    assert TARGET.vectors.grad is None
    assert QUERIES.vectors.grad is not None
    assert QUERIES.vectors.grad.any()


def test_paired_positives_are_the_keys_of_the_same_cells():
    keys = LabelledVectors(torch.eye(4)[:3], torch.tensor([0, 1, 0]), torch.tensor([2, 5, 9]))
    queries = LabelledVectors(
        torch.eye(4)[:2].requires_grad_(), torch.tensor([0, 0]), torch.tensor([9, 3])
    )
    draw = ClassDraw(0, torch.tensor([0, 1]), torch.tensor([1]), torch.zeros(0).long())
    loss = pull_loss(queries, keys, keys, [draw], torch.ones(2), 1.0, "paired")
    centre = F.normalize(torch.tensor([1.0, 0, 1, 0]), dim=0)
    # The first has its own key, e_2, the other, without one, the centre (e_0 + e_2) / sqrt 2.
    first = info_nce(torch.eye(4)[:1], torch.eye(4)[2:3], torch.eye(4)[1:2], 1.0)
    second = info_nce(torch.eye(4)[1:2], centre[None], torch.eye(4)[1:2], 1.0)
    torch.testing.assert_close(loss, (first + second)[0] / 2)


def test_the_scale_of_features_does_not_matter():
    features = torch.randn(1, 4, 2, 3, generator=generator())
    labels = torch.tensor([[[0, 1, 0], [1, 255, 0]]])
    losses = []
    for scale in (1.0, 100.0):
        found = labelled_vectors(scale * features, labels)
        draws = draw_contrast(found.classes, found.classes, found.classes, 2, 8, 6, generator())
        losses.append(pull_loss(found, found, found, draws, torch.ones(2), 0.2))
    torch.testing.assert_close(*losses)


def test_nothing_to_compare_costs_nothing():
    empty = labelled_vectors(torch.rand(1, 4, 2, 2, requires_grad=True), torch.full((1, 2, 2), 255))
    loss = pull_loss(empty, empty, empty, [], torch.ones(3), 0.2)
    torch.autograd.backward(loss)
    assert loss.item() == 0
