import torch

from models.adaptation.pixels import (
    draw_class_uniform,
    draw_of_each_class,
    labelled_vectors,
)

NAN = float("nan")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_vectors_have_length_one_and_leave_out_what_is_ignored_or_not_finite():
    features = torch.tensor([[[[3.0, 1, NAN, 0]], [[4.0, 1, 1, 2]]]]).requires_grad_()
    found = labelled_vectors(features, torch.tensor([[[1, 255, 0, 0]]]))
    assert found.classes.tolist() == [1, 0]
    assert found.cells.tolist() == [0, 3]
    torch.testing.assert_close(found.vectors, torch.tensor([[0.6, 0.8], [0, 1]]))
    torch.autograd.backward(found.vectors.sum())
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert not features.grad[..., 1:3].any()


def test_an_image_without_labels_has_no_vectors():
    found = labelled_vectors(torch.rand(1, 2, 1, 3), torch.full((1, 1, 3), 255))
    assert len(found) == 0
    assert found.vectors.shape == (0, 2)
    assert len(draw_of_each_class(found.classes, 3, 4, generator())) == 0
    assert len(draw_class_uniform(found.classes, 0, 4, generator())) == 0


def test_at_most_so_many_of_each_class_each_once():
    classes = torch.tensor([0, 2, 0, 0, 2, 0, 2])
    rows = draw_of_each_class(classes, 4, 2, generator())
    assert classes[rows].tolist() == [0, 0, 2, 2]
    assert len(torch.unique(rows)) == 4
    assert torch.equal(rows, draw_of_each_class(classes, 4, 2, generator()))
    assert sorted(draw_of_each_class(classes, 4, 9, generator()).tolist()) == list(range(7))


def test_classes_are_drawn_alike_however_many_pixels_they_have():
    classes = torch.tensor([0] * 90 + [1] * 9 + [2] + [3] * 50)
    drawn = draw_class_uniform(classes, 3, 3000, generator())
    counts = torch.bincount(classes[drawn], minlength=4)
    assert counts[3] == 0
    # Three standard deviations of a binomial of 3000 with 1/3.
    assert ((counts[:3] - 1000).abs() < 3 * (3000 * 2 / 9) ** 0.5).all()
    assert len(torch.unique(drawn[classes[drawn] == 0])) == 90
    assert len(draw_class_uniform(torch.tensor([3, 3]), 3, 5, generator())) == 0
