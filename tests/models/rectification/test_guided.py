import math

import numpy as np
import pytest
import torch
from torch import Tensor

from models.rectification.guided import Guide


def at(rows: list[int], columns: list[int]) -> tuple[Tensor, Tensor]:
    return torch.tensor(rows), torch.tensor(columns)


def test_an_edge_within_a_cell_lies_where_the_colours_change():
    # Cells of 4 px; colours change at column 6, in the middle of the second of three cells.
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 6:] = 200
    values = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]]).view(1, 2, 1, 3)
    pixels = at([2] * 12, list(range(12)))
    guide = Guide.of(image)
    sharp = guide.read(values, (4.0, 12.0), pixels)
    left, right = sharp[3:6, 0], sharp[6:9, 0]
    assert (left > 0.8).all()
    assert (right < 0.2).all()
    flat = Guide.of(np.full_like(image, 90)).read(values, (4.0, 12.0), pixels)
    assert abs(float(flat[5, 0] - flat[6, 0])) < 0.2


def brute_force(
    guide: Guide, values: Tensor, cover_hw_px: tuple[float, float], row: int, column: int
) -> list[float]:
    """One pixel, cell by cell."""
    classes, height, width = values.shape[1:]
    means = guide._means((height, width), cover_hw_px)
    own = guide.colours[0, :, row, column]
    y = (row + 0.5) * height / cover_hw_px[0] - 0.5
    x = (column + 0.5) * width / cover_hw_px[1] - 0.5
    sums, total = [0.0] * classes, 0.0
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            i, j = round(y) + dy, round(x) + dx
            apart = (y - i) ** 2 + (x - j) ** 2
            i, j = min(max(i, 0), height - 1), min(max(j, 0), width - 1)
            unlike = float(((own - means[:, i, j]) ** 2).sum())
            weight = math.exp(-apart / 2) * (math.exp(-unlike / (2 * 0.4**2)) + 1e-4)
            total += weight
            sums = [s + weight * float(values[0, k, i, j]) for k, s in enumerate(sums)]
    return [s / total for s in sums]


@pytest.mark.parametrize("cover_hw_px", [(12.0, 20.0), (9.0, 19.0), (16.0, 24.0)])
def test_it_equals_brute_force(cover_hw_px):
    rng = np.random.default_rng(0)
    guide = Guide.of(rng.integers(0, 256, (11, 19, 3), dtype=np.uint8))
    values = torch.from_numpy(rng.random((1, 3, 3, 5), np.float32)).softmax(1)
    rows, columns = [0, 10, 4, 7], [0, 18, 9, 2]
    found = guide.read(values, cover_hw_px, at(rows, columns))
    expected = [
        brute_force(guide, values, cover_hw_px, r, c) for r, c in zip(rows, columns, strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(4))


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (1, 30)])
def test_images_of_a_few_pixels(size_hw):
    guide = Guide.of(np.zeros((*size_hw, 3), np.uint8))
    values = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    found = guide.read(values, (4.0, 32.0), at([0], [size_hw[1] - 1]))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75]]))


def test_light_and_contrast_do_not_matter():
    image = np.full((8, 12, 3), 40, np.uint8)
    image[:, 6:] = 200
    darker = (image // 2 + 10).astype(np.uint8)
    torch.testing.assert_close(Guide.of(image).colours, Guide.of(darker).colours)
