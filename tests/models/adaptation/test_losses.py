"""The base losses."""

import math

import pytest
import torch

from models.adaptation.losses import consistency_loss, labelled_loss


def test_the_mean_is_over_all_pixels_and_ignored_ones_add_nothing():
    logits = torch.zeros(1, 4, 2, 2)
    labels = torch.tensor([[[0, 1], [255, 255]]])
    assert labelled_loss(logits, labels).item() == pytest.approx(math.log(4) / 2)
    weights = torch.tensor([[[1.0, 0.5], [1.0, 1.0]]])
    assert labelled_loss(logits, labels, weights).item() == pytest.approx(1.5 * math.log(4) / 4)


def test_without_a_kept_pixel_loss_and_gradient_are_zero():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.full((1, 2, 2), 255)
    loss = labelled_loss(logits, labels, torch.zeros(1, 2, 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_consistency_is_the_cross_entropy_with_the_teacher_where_asked():
    logits = torch.zeros(1, 2, 1, 2, requires_grad=True)
    targets = torch.tensor([[[[0.75, 0.0]], [[0.25, 1.0]]]])
    loss = consistency_loss(logits, targets, torch.tensor([[[True, False]]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert logits.grad is not None
    # softmax minus target, over two pixels
    assert logits.grad[0, :, 0].tolist() == [[-0.125, 0], [0.125, 0]]
