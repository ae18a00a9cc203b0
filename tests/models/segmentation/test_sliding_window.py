import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.segmentation.sliding_window import Blender, WindowGrid, plan_axis


@pytest.mark.parametrize(
    ("length", "window", "overlap", "size", "starts"),
    [
        (1, 64, 0.25, 1, (0,)),
        (64, 64, 0.25, 64, (0,)),
        (65, 64, 0.25, 38, (0, 27)),
        (112, 64, 0.25, 64, (0, 48)),
        (160, 64, 0.25, 64, (0, 48, 96)),
        (128, 64, 0.0, 64, (0, 64)),
        (96, 64, 0.5, 64, (0, 32)),
    ],
)
def test_windows_of_an_axis(length, window, overlap, size, starts):
    axis = plan_axis(length, window, overlap)
    assert (axis.window_px, axis.starts) == (size, starts)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(8, 100), st.sampled_from([0.0, 0.1, 0.25, 0.5]))
def test_windows_cover_the_axis_and_shares_add_up_to_one(length, window, overlap):
    axis = plan_axis(length, window, overlap)
    assert axis.window_px <= window
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.window_px == length
    assert list(axis.starts) == sorted(set(axis.starts))
    total = torch.zeros(length)
    for index, start in enumerate(axis.starts):
        shares = axis.weights(index)
        assert bool((shares > 0).all())
        total[start : start + axis.window_px] += shares
    torch.testing.assert_close(total, torch.ones(length))


def test_shares_of_two_windows_in_view():
    axis = plan_axis(6, 4, 0.5)
    assert (axis.window_px, axis.starts, axis.ramp_px) == (4, (0, 2), 2)
    # Raw weights 1/4 3/4 3/4 1/4 in both; over the common pixels 2 and 3 they are 3:1 and 1:3.
    assert axis.weights(0).tolist() == pytest.approx([1, 1, 0.75, 0.25])
    assert axis.weights(1).tolist() == pytest.approx([0.25, 0.75, 1, 1])


def blend_whole(grid: WindowGrid, windows: list[torch.Tensor]) -> torch.Tensor:
    """The weighted mean with the whole image in memory, in float64."""
    height, width = grid.rows.length_px, grid.columns.length_px
    total = torch.zeros(windows[0].shape[0], height, width, dtype=torch.float64)
    for window, values in zip(grid, windows, strict=True):
        weight = grid.rows.weights(window.row)[:, None] * grid.columns.weights(window.column)
        rows = slice(window.y, window.y + values.shape[1])
        total[:, rows, window.x : window.x + values.shape[2]] += values.double() * weight.double()
    return total


@settings(deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(5, 40),
    st.sampled_from([0.0, 0.25, 0.5]),
    st.integers(1, 9),
)
def test_blocks_cover_each_pixel_once_and_blend_as_a_whole_image_does(
    height, width, window_px, overlap, strip_rows
):
    grid = WindowGrid.plan((height, width), window_px, overlap)
    generator = torch.Generator().manual_seed(height * 71 + width)
    windows = [torch.rand(2, *grid.window_hw, generator=generator) for _ in grid]
    blender = Blender(grid, 2, torch.device("cpu"))
    result = torch.zeros(2, height, width)
    times = torch.zeros(height, width)
    for window, values in zip(grid, windows, strict=True):
        for row in range(0, grid.window_hw[0], strip_rows):
            strip = values[:, row : row + strip_rows].clone()
            for block in blender.add(window, row, strip):
                _, h, w = block.probabilities.shape
                result[:, block.y : block.y + h, block.x : block.x + w] = block.probabilities
                times[block.y : block.y + h, block.x : block.x + w] += 1
    assert bool((times == 1).all())
    torch.testing.assert_close(result.double(), blend_whole(grid, windows), atol=1e-6, rtol=0)


def test_memory_for_blending_grows_with_the_overlap_and_not_with_the_image_height():
    def held_values(height: int) -> int:
        grid = WindowGrid.plan((height, 4000), 1024, 0.25)
        blender = Blender(grid, 1, torch.device("meta"))
        return blender._right.numel() + blender._below.numel()

    assert held_values(20_000) < 4000 * 280 + 1024 * 280
    assert held_values(1025) < 4000 * 280 + 1024 * 280
