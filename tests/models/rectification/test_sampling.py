import numpy as np
import torch

from models.rectification.sampling import at_points, draw_points, near_edges

# Two classes that meet between columns 11 and 12, one pixel of another, and none.
LABEL = torch.zeros(1, 20, 40, dtype=torch.uint8)
LABEL[:, :, 12:] = 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_band_reaches_as_far_on_both_sides():
    label = torch.tensor([[[3, 3, 3, 3, 7, 7, 7, 255]]])
    assert near_edges(label, 1).int().tolist() == [[[0, 0, 0, 1, 1, 0, 1, 1]]]
    assert near_edges(label.to(torch.uint8), 2).int().tolist() == [[[0, 0, 1, 1, 1, 1, 1, 1]]]
    lone = torch.zeros(1, 5, 5, dtype=torch.uint8)
    lone[0, 0, 4] = 1
    assert near_edges(lone, 1)[0].int().tolist() == [
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert not near_edges(torch.full((1, 4, 4), 9), 5).any()


def test_half_of_the_points_are_near_the_edge():
    points = draw_points(LABEL, 4001, generator())
    assert points.shape == (1, 4001, 2)
    assert points.dtype == torch.float32
    size = torch.tensor([20.0, 40.0])
    assert ((points >= 0) & (points < size)).all()
    band = points[0, 2001:]
    assert ((band[:, 1] >= 7) & (band[:, 1] < 17)).all()
    # Uniform over the whole image and over the band: means and spread of the middle.
    np.testing.assert_allclose(points[0, :2001].mean(0), [10, 20], atol=1)
    np.testing.assert_allclose(band.mean(0), [10, 12], atol=0.5)
    assert points.frac().std() > 0.25


def test_an_image_without_edges_gets_uniform_points_beside_one_with():
    both = torch.cat([torch.zeros_like(LABEL), LABEL])
    points = draw_points(both, 2000, generator())
    np.testing.assert_allclose(points[0, 1000:].mean(0), [10, 20], atol=1)
    assert (points[1, 1000:, 1] < 17).all()


def test_the_same_seed_draws_the_same_points():
    first, again = (draw_points(LABEL, 50, generator(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, draw_points(LABEL, 50, generator(4)))


def test_targets_are_those_of_the_pixels_points_lie_in():
    label = torch.tensor([[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 255]]])
    points = torch.tensor([[[0.0, 0.99], [1.5, 1.0]], [[0.2, 2.9], [1.999, 7.0]]])
    assert at_points(label, points).tolist() == [[0, 4], [8, 255]]
    maps = torch.stack([label, -label], dim=1)
    assert at_points(maps, points).tolist() == [[[0, 0], [4, -4]], [[8, -8], [255, -255]]]
