from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from benchmarks.scenes.camera import Camera
from benchmarks.scenes.canvas import Canvas, Paint
from benchmarks.scenes.layout import Layout
from benchmarks.scenes.lighting import through_air
from benchmarks.scenes.ontology import CAR, SKY

CAMERA = Camera(focal_px=100, center_x_px=50, horizon_y_px=40, height_m=2, size_hw=(80, 100))


def test_projection_of_known_points():
    points = [[0, 2, 10], [1, 2, 10], [0, 0, 10], [0, 0, 20]]
    np.testing.assert_allclose(CAMERA.project(points), [[50, 40], [60, 40], [50, 60], [50, 50]])


def test_ground_positions_invert_the_projection():
    first, x, z = CAMERA.ground_xz()
    row, column = 70, 23
    world = [[x[row - first, column], 0.0, z[row - first, column]]]
    np.testing.assert_allclose(CAMERA.project(world), [[column + 0.5, row + 0.5]], atol=1e-4)


def test_world_positions_invert_the_projection():
    x, y = CAMERA.world_positions(np.full((80, 100), 12.5, np.float32))
    np.testing.assert_allclose(
        CAMERA.project([[x[9, 31], y[9, 31], 12.5]]), [[31.5, 9.5]], atol=1e-4
    )


def test_later_shapes_cover_earlier_ones():
    canvas = Canvas(CAMERA)
    square = np.array([[10, 10], [20, 10], [20, 20], [10, 20]])
    canvas.polygon(square, Paint(CAR, (1, 2, 3), instance=1), 9.0)
    canvas.polygon(square + 5, Paint(CAR, (1, 2, 3), instance=2), 8.0)
    instance = np.array([paint.instance for paint in canvas.paints])[canvas.region]
    assert instance[12, 12] == 1
    assert instance[17, 17] == 2
    assert canvas.paints[canvas.region[0, 0]].class_id == SKY


def test_shape_behind_the_camera_is_not_drawn():
    canvas = Canvas(CAMERA)
    canvas.world_polygon([[-1, 0, 0.5], [1, 0, 0.5], [0, 3, 0.5]], Paint(CAR, (1, 2, 3)))
    assert not canvas.region.any()


@pytest.mark.parametrize(("depth_m", "share"), [(0.0, 1.0), (30.0, 0.5), (1e6, 0.0)])
def test_air_hides_half_at_the_half_distance(depth_m, share):
    layout = cast(Layout, SimpleNamespace(depth_m=np.full((1, 1), depth_m, np.float32)))
    picture = np.ones((1, 1, 3), np.float32)
    air = np.zeros(3, np.float32)
    out = through_air(layout, picture, air, 30.0 / np.log(2))
    np.testing.assert_allclose(out, share, atol=1e-6)
