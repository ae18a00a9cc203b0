from math import log

import pytest
import torch
from torch import Tensor

from benchmarks.region_model.losses import affinity_loss, mask_iou, mask_losses, prompt_loss

# p = 1/2, 3/4
LOGITS = torch.tensor([0.0, log(3.0)]).reshape(1, 1, 1, 2)


def row(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, -1)


def test_cross_entropy_and_dice_by_hand():
    losses = mask_losses(LOGITS, row(1, 0), row(1, 1))
    cross_entropy = (log(2) + log(4)) / 2
    dice = 1 - (2 * 0.5 + 1) / (1.25 + 1 + 1)
    assert losses.shape == (1, 1)
    assert losses.item() == pytest.approx(2 * cross_entropy + dice)


def test_places_without_weight_do_not_count():
    losses = mask_losses(LOGITS, row(1, 0), row(1, 0))
    assert losses.item() == pytest.approx(2 * log(2) + 1 - (1 + 1) / (0.5 + 1 + 1))


def test_soft_target_is_best_met_by_its_own_share():
    def loss(shift: float) -> float:
        return mask_losses(LOGITS + shift, row(0.5, 0.75), row(1, 1)).item()

    entropy = (log(2) + 0.75 * log(4 / 3) + 0.25 * log(4)) / 2
    assert loss(0.0) == pytest.approx(2 * entropy + 1 - (2 * 0.8125 + 1) / (1.25 + 1.25 + 1))
    assert loss(0.0) < min(loss(-0.5), loss(1.0))


def test_iou_of_thresholded_masks():
    logits = torch.tensor([[[[1.0, 1.0, -1.0, 1.0]], [[-1.0, -1.0, -1.0, -1.0]]]])
    iou = mask_iou(logits, row(1, 0, 0.6, 1), row(1, 1, 1, 0))
    assert iou.tolist() == [[pytest.approx(1 / 3), 0.0]]


def test_of_three_masks_the_best_is_trained_most_and_all_estimates_are():
    targets, valid = row(1, 1, 0, 0), row(1, 1, 1, 1)
    masks = torch.tensor([[0, 0, 0, 0], [3, 3, -3, -3], [-3, -3, 3, 3], [0.1, 0, 0, 0]]).float()
    masks = masks.reshape(1, 4, 1, 4).requires_grad_()
    iou = torch.full((1, 4), 0.5, requires_grad=True)
    loss = prompt_loss(masks, iou, targets, valid, torch.tensor([True]))
    losses = mask_losses(masks, targets, valid)[0]
    true = torch.tensor([[0.0, 1.0, 0.0, 0.5]])  # the last mask is one of two pixels
    three = 0.7 * losses[1] + 0.3 * losses[1:].mean()
    expected = losses[0] + three + (0.5 - true).square().mean()
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()  # type: ignore[no-untyped-call]
    assert masks.grad is not None
    weight = 0.3 / 3
    alone = torch.autograd.grad(mask_losses(masks, targets, valid).sum(), masks)[0]
    shares = torch.tensor([1, 0.7 + weight, weight, weight]).reshape(1, 4, 1, 1)
    torch.testing.assert_close(masks.grad, shares * alone)
    assert iou.grad is not None
    assert iou.grad.gt(0).tolist() == [[True, False, True, False]]


def test_nothing_valid_gives_finite_gradients():
    masks = torch.randn(2, 4, 3, 3, requires_grad=True)
    iou = torch.rand(2, 4, requires_grad=True)
    nothing = torch.zeros(2, 3, 3)
    loss = prompt_loss(masks, iou, nothing, nothing, torch.zeros(2, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    embedding = torch.randn(1, 4, 3, 3, requires_grad=True)
    segments = torch.zeros(1, 3, 3, dtype=torch.int64)
    loss = affinity_loss(embedding, segments, torch.Generator().manual_seed(0))
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    for value in (masks, iou, embedding):
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()


def test_affinity_weighs_pairs_of_one_and_of_two_segments_alike():
    embedding = torch.tensor([[3.0, 0, 0, 0], [0, 0.5, 2, 2]]).reshape(1, 2, 1, 4)
    segments = torch.tensor([[[1, 2, 2, 2]]])
    loss = affinity_loss(embedding, segments, torch.Generator().manual_seed(0))
    # Cosines are 1 within and 0 between the two: logits of 4 and -4, both right.
    assert loss.item() == pytest.approx(2 * log(1 + torch.tensor(-4.0).exp().item()), rel=1e-4)


def test_of_a_box_only_the_first_mask_is_trained():
    masks = torch.zeros(2, 4, 1, 2, requires_grad=True)
    targets, valid = torch.ones(2, 1, 2), torch.ones(2, 1, 2)
    loss = prompt_loss(masks, torch.zeros(2, 4), targets, valid, torch.tensor([False, True]))
    (gradient,) = torch.autograd.grad(loss, masks)
    assert gradient[:, 0].any(dim=(1, 2)).tolist() == [True, True]
    assert gradient[:, 1:].any(dim=(1, 2, 3)).tolist() == [False, True]
