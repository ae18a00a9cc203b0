import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adaptation.style_losses import (
    discriminator_loss,
    generator_loss,
    mean_patch_nce,
    patch_nce,
    semantic_consistency,
    without_own_gradient,
)
from models.adaptation.style_network import Discriminator, Generator, PatchHeads


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(drawn(*shape, seed=seed), dim=-1)


def test_an_untrained_generator_changes_nothing_and_keeps_the_shape():
    images = drawn(2, 3, 16, 24).sigmoid()
    torch.testing.assert_close(Generator(8, 1)(images), images)
    assert Discriminator(4)(images).shape == (2, 1, 2, 3)


def test_vectors_of_patches_have_length_one():
    generator = Generator(8, 2)
    maps = generator.encode(drawn(2, 3, 16, 16).sigmoid())
    assert [m.shape[1] for m in maps] == list(generator.layer_channels)
    heads = PatchHeads(generator.layer_channels, 5)
    found = heads(maps, [torch.tensor([0, 7, 15])] * len(maps))
    assert [tuple(v.shape) for v in found] == [(2, 3, 5)] * 4
    for vectors in found:
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(2, 3))


def test_adversarial_losses_by_hand():
    made, target = torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.0])
    torch.testing.assert_close(discriminator_loss(made, target), torch.tensor(0.5625))
    torch.testing.assert_close(generator_loss(made), torch.tensor(0.125))


def test_patches_that_stayed_are_found_and_others_by_chance():
    same = unit(2, 64, 16)
    assert patch_nce(same, same) < 0.1 * math.log(64)
    alike = unit(1, 1, 16).expand(1, 64, 16)
    # The one on the diagonal does not count, so there are 64 candidates and not 65.
    torch.testing.assert_close(patch_nce(alike, alike), torch.tensor(math.log(64)))
    assert patch_nce(unit(2, 64, 256), unit(2, 64, 256, seed=1)) > 0.8 * math.log(64)


def test_negatives_are_of_the_same_image_and_keys_stay():
    queries, keys = unit(2, 6, 4).requires_grad_(), unit(2, 6, 4, seed=1).requires_grad_()
    first = patch_nce(queries[:1], keys[:1])
    queries_2, keys_2 = unit(1, 6, 4, seed=5), unit(1, 6, 4, seed=6)
    other = patch_nce(torch.cat([queries[:1], queries_2]), torch.cat([keys[:1], keys_2]))
    alone = patch_nce(queries_2, keys_2)
    torch.testing.assert_close(other, (first + alone) / 2)
    torch.autograd.backward(mean_patch_nce([queries], [keys]))
    assert keys.grad is None
    assert queries.grad is not None


def test_each_player_leaves_the_other_alone():
    generator, judge = Generator(8, 1), Discriminator(4)
    images = drawn(1, 3, 16, 16).sigmoid()
    torch.autograd.backward(generator_loss(without_own_gradient(judge, generator(images))))
    assert all(p.grad is None for p in judge.parameters())
    assert generator.gain.weight.grad is not None
    assert generator.gain.weight.grad.any()
    generator.zero_grad(set_to_none=True)
    made = generator(images).detach()
    torch.autograd.backward(discriminator_loss(judge(made), judge(images)))
    assert all(p.grad is None for p in generator.parameters())
    assert all(p.grad is not None for p in judge.parameters())


def test_consistency_is_the_change_of_similarities():
    prototypes = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    source = torch.tensor([[[[1.0, 9]], [[2, 9]]]])
    made = torch.tensor([[[[4.0, 0]], [[2, 0]]]]).requires_grad_()
    counted = torch.tensor([[[True, False]]])
    # One pixel, three classes: ((4 - 1)^2 + 0 + 0) / 3.
    loss = semantic_consistency(source, made, prototypes, counted)
    torch.testing.assert_close(loss, torch.tensor(3.0))
    torch.autograd.backward(loss)
    assert made.grad is not None
    assert made.grad[0, :, 0, 0].tolist() == [2, 0]
    assert not made.grad[..., 1].any()


def test_consistency_is_nothing_without_change_prototypes_or_pixels():
    source, made, every = drawn(1, 4, 2, 2), drawn(1, 4, 2, 2, seed=1), torch.ones(1, 2, 2).bool()
    prototypes = unit(3, 4).requires_grad_()
    assert semantic_consistency(source, source, prototypes, every) == 0
    assert semantic_consistency(source, made, torch.zeros(3, 4), every) == 0
    assert semantic_consistency(source, made, prototypes, ~every) == 0
    source.requires_grad_()
    torch.autograd.backward(semantic_consistency(source, made.requires_grad_(), prototypes, every))
    assert source.grad is None
    assert prototypes.grad is None


def test_a_frozen_module_still_hands_gradients_through():
    layer, images = nn.Linear(3, 2), drawn(1, 3).requires_grad_()
    torch.autograd.backward(without_own_gradient(layer, images).sum())
    assert layer.weight.grad is None
    torch.testing.assert_close(images.grad, layer.weight.detach().sum(0, keepdim=True))
