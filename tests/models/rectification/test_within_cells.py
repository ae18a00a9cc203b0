"""What the place within the cell is for: edges finer than the grid of codes."""

import torch
from torch.nn import functional as F

from models.rectification.field import FieldInput
from tests.models.rectification.field_toys import centres, small_field


def fitted_error(relative: bool) -> float:
    """Share of wrong pixels after a field was fitted to a diagonal stripe of 5 in cells of 8 px.

    Without delta the same network is a grid whose answers are interpolated.
    """
    points = centres(24, 24)
    right = ((points[0, :, 0] - points[0, :, 1] - 2).abs() < 2.5).float()
    features = torch.randn(1, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    even = torch.full((1, 3, 1, 1), 1 / 3)
    given = FieldInput(features, (24.0, 24.0), even, (24.0, 24.0))
    field = small_field(hidden=(32, 16), relative=relative)
    optimiser = torch.optim.Adam(field.parameters(), lr=0.02)
    for _ in range(100):
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(field(given, points)[0], right)
        torch.autograd.backward(loss)
        optimiser.step()
    return float(((field(given, points)[0] > 0) != (right > 0)).float().mean())


def test_a_continuous_field_fits_an_edge_inside_cells_and_a_grid_does_not():
    assert fitted_error(relative=True) < 0.02
    assert fitted_error(relative=False) > 0.05
