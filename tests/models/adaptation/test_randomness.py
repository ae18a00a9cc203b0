"""Keyed draws."""

import torch

from models.adaptation.randomness import keyed_generator, keyed_rng


def test_a_draw_depends_on_its_key_alone():
    assert keyed_rng(1, "mix", 2, 3).random() == keyed_rng(1, "mix", 2, 3).random()
    others = {keyed_rng(*key).random() for key in ((1, "mix", 2, 3), (2, "mix", 2, 3), (1, "a", 2))}
    assert len(others) == 3


def test_torch_draws_likewise():
    first, again = (torch.rand(3, generator=keyed_generator(0, "x", 5)) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(torch.rand(3, generator=keyed_generator(0, "x", 6)))
