import numpy as np
import torch

from models.rectification.colours import cell_means, normalised_colours


def test_light_and_contrast_do_not_matter():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    colours = normalised_colours(image)
    assert colours.shape == (1, 3, 4, 6)
    torch.testing.assert_close(colours.mean((2, 3)), torch.zeros(1, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(normalised_colours(2 * image + 17), colours, rtol=0, atol=1e-5)


def test_a_flat_image_stays_flat():
    assert not normalised_colours(np.full((3, 3, 3), 200, np.uint8)).any()


def test_means_of_cells():
    colours = torch.tensor([[1.0, 3.0, 5.0], [1.0, 3.0, 5.0]]).expand(1, 3, 2, 3)
    means = cell_means(colours, (1, 2), (2.0, 4.0))
    # The border goes on: 5 stands twice.
    assert means[0, 0].tolist() == [[2.0, 5.0]]
    assert cell_means(colours, (2, 3), (2.0, 3.0))[0, 0].tolist() == [[1.0, 3.0, 5.0]] * 2
