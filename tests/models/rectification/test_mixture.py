import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.rectification.mixture import (
    auxiliary_gradient,
    main_gradient,
    mixture,
    rectified_label,
    reliability_gradient,
)

TEACHER = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
FALLBACK = torch.tensor([[0.2, 0.4, 0.4], [0.3, 0.3, 0.4]])


def drawn(*shape: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator).double()).requires_grad_()


def test_a_rectified_label_lies_between_teacher_and_fallback():
    label = rectified_label(torch.tensor([0.5, 0.75]), TEACHER, FALLBACK)
    expected = torch.tensor([[0.45, 0.3, 0.25], [0.15, 0.675, 0.175]])
    torch.testing.assert_close(label, expected)
    torch.testing.assert_close(label.sum(-1), torch.ones(2))


def test_reliable_labels_are_the_teachers_and_unreliable_ones_the_fallbacks():
    for fallback in (FALLBACK, None):
        other = torch.full((2, 3), 1 / 3) if fallback is None else fallback
        assert torch.equal(rectified_label(torch.ones(2), TEACHER, fallback), TEACHER)
        assert torch.equal(rectified_label(torch.zeros(2), TEACHER, fallback), other)


def test_the_loss_is_the_logarithm_of_the_mixture():
    main, auxiliary = TEACHER.log(), FALLBACK.log()
    label, logit = torch.tensor([1, 255]), torch.tensor([math.log(3), 0])  # r = 0.75
    found = mixture(logit, main, label, auxiliary)
    # m = 0.75 * 0.2 + 0.25 * 0.4 = 0.25, of which the main head gives 0.15.
    torch.testing.assert_close(found.loss, torch.tensor([-math.log(0.25), 0]))
    torch.testing.assert_close(found.responsibility, torch.tensor([0.6, 0]))
    torch.testing.assert_close(found.mean_loss(), torch.tensor(-math.log(0.25)))
    noise = mixture(logit, main, label)
    torch.testing.assert_close(noise.loss, torch.tensor([-math.log(0.15 + 0.25 / 3), 0]))


@pytest.mark.parametrize("two_heads", [True, False])
def test_autograd_gives_the_closed_forms(two_heads):
    s, main, auxiliary = drawn(6, 7), drawn(6, 7, 5, seed=1), drawn(6, 7, 5, seed=2)
    label = torch.randint(5, (6, 7), generator=torch.Generator().manual_seed(3))
    label[2, 3:] = 255
    found = mixture(s, main, label, auxiliary if two_heads else None)
    torch.autograd.backward(found.loss.sum())
    torch.testing.assert_close(s.grad, reliability_gradient(s, found), rtol=0, atol=1e-9)
    torch.testing.assert_close(main.grad, main_gradient(main, label, found), rtol=0, atol=1e-9)
    assert main.grad is not None
    assert not main.grad[2, 3:].any()
    if two_heads:
        torch.testing.assert_close(
            auxiliary.grad, auxiliary_gradient(auxiliary, label, found), rtol=0, atol=1e-9
        )
    else:
        assert auxiliary.grad is None


def test_a_label_the_main_head_explains_badly_counts_little_and_lowers_r():
    main = torch.tensor([[9.0, 0, 0], [0, 9, 0]]).requires_grad_()
    s = torch.zeros(2, requires_grad=True)
    found = mixture(s, main, torch.tensor([0, 0]))
    torch.autograd.backward(found.loss.sum())
    assert main.grad is not None
    assert s.grad is not None
    assert found.responsibility[0] > 0.7
    assert found.responsibility[1] < 0.01
    assert s.grad[0] < 0 < s.grad[1]
    assert main.grad[1].abs().max() < 0.01


def test_extreme_logits_give_finite_losses_and_gradients():
    s = torch.tensor([200.0, -200, 200, -200]).requires_grad_()
    main = torch.tensor([[1e4, 0], [1e4, 0], [0, 1e4], [0, 1e4]]).requires_grad_()
    found = mixture(s, main, torch.tensor([0, 0, 0, 0]))
    torch.autograd.backward(found.loss.sum())
    for values in (found.loss, found.responsibility, s.grad, main.grad):
        assert values is not None
        assert torch.isfinite(values).all()
    torch.testing.assert_close(found.loss[1], torch.tensor(math.log(2)))


def test_without_any_label_nothing_is_lost():
    s, main = drawn(4), drawn(4, 3)
    loss = mixture(s, main, torch.full((4,), 255)).mean_loss()
    torch.autograd.backward(loss)
    assert loss == 0
    assert s.grad is not None
    assert not s.grad.any()


@pytest.mark.parametrize("anchored", [False, True])
def test_in_noise_mode_only_an_anchor_keeps_r_from_1(anchored):
    """A student fits labels of which four of ten are wrong, and r goes with it; or it does not.

    Free logits for each of 200 points stand for networks that can learn everything by heart. Then
    p(y) = 1, and the r of a wrong label goes to 0 only with an anchor of weight K - 1 or more.
    """
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(4, (200,), generator=generator)
    right = torch.rand(200, generator=generator) < 0.6
    label = torch.where(right, truth, (truth + 1) % 4)
    s, main = torch.zeros(200, requires_grad=True), torch.zeros(200, 4, requires_grad=True)
    optimiser = torch.optim.Adam([s, main], lr=0.2)
    for _ in range(300):
        optimiser.zero_grad()
        loss = mixture(s, main, label).mean_loss()
        if anchored:
            loss = loss + 4 * F.binary_cross_entropy_with_logits(s, right.float())
        torch.autograd.backward(loss)
        optimiser.step()
    mean = s.detach().sigmoid().mean()
    if anchored:
        assert mean == pytest.approx(right.float().mean().item(), abs=0.05)
    else:
        assert mean > 0.99


def test_with_r_at_1_the_losses_are_those_without_a_mixture_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    main, other = (torch.randn(50, 4, generator=generator) for _ in range(2))
    label = torch.randint(0, 4, (50,), generator=generator)
    certain = torch.full((50,), torch.inf)
    found = mixture(certain, main, label, other)
    plain = F.cross_entropy(main, label, reduction="none")
    assert torch.equal(found.loss, plain)
    assert torch.equal(found.responsibility, torch.ones(50))
    teacher = other.softmax(-1)
    soft = rectified_label(torch.ones(50), teacher, main.softmax(-1))
    by_soft, by_teacher = (-(y * main.log_softmax(-1)).sum(-1) for y in (soft, teacher))
    assert torch.equal(by_soft, by_teacher)


def test_pasted_pixels_keep_their_true_labels():
    """ClassMix: r of the target is mixed like the label, and pasted source pixels have r = 1."""
    generator = torch.Generator().manual_seed(0)
    teacher, fallback = (torch.rand(6, 8, 3, generator=generator).softmax(-1) for _ in range(2))
    true = F.one_hot(torch.randint(0, 3, (6, 8), generator=generator), 3).float()
    pasted = torch.rand(6, 8, generator=generator) < 0.5
    r = torch.where(pasted, 1.0, torch.rand(6, 8, generator=generator))
    mixed = rectified_label(r, torch.where(pasted[..., None], true, teacher), fallback)
    assert torch.equal(mixed[pasted], true[pasted])
    unmixed = rectified_label(r, teacher, fallback)
    assert torch.equal(mixed[~pasted], unmixed[~pasted])
