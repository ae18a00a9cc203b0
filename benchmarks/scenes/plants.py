"""Trees, hedges and tree lines: heaps of leafy blobs."""

import numpy as np

from benchmarks.scenes.canvas import Canvas, Colour, Paint
from benchmarks.scenes.colours import LEAVES, pick, shade
from benchmarks.scenes.ontology import VEGETATION

_ANGLES = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _blob(
    canvas: Canvas,
    center_xyz: tuple[float, float, float],
    radius_m: float,
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    x, y, z = center_xyz
    camera = canvas.camera
    scale = camera.focal_px / max(z, 1.5)
    outline = rng.uniform(0.7 * radius_m * scale, 1.15 * radius_m * scale, 12)[:, None] * _CIRCLE
    outline += (
        camera.center_x_px + x * scale,
        camera.horizon_y_px + (camera.height_m - y) * scale,
    )
    canvas.polygon(outline, Paint(VEGETATION, colour, grain=0.42, sunlit=0.75), z)


def draw_tree(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A trunk and a crown of eight to fourteen blobs, lighter towards the top."""
    height = rng.uniform(4.0, 9.0)
    trunk, crown = rng.uniform(0.1, 0.22), rng.uniform(1.2, 2.4)
    bark = shade((96, 80, 64), rng.uniform(0.6, 1.3))
    top = height - crown * 0.8
    corners = [(x - trunk, 0, z), (x + trunk, 0, z), (x + trunk * 0.6, top, z)]
    canvas.world_polygon(
        [*corners, (x - trunk * 0.6, top, z)], Paint(VEGETATION, bark, grain=0.2, sunlit=0.7)
    )
    leaves = pick(LEAVES, rng, 8)
    for _ in range(int(rng.integers(8, 15))):
        angle, distance = rng.uniform(0, 2 * np.pi), crown * np.sqrt(rng.uniform(0, 1))
        center = (x + distance * np.cos(angle), height - crown + 0.9 * distance * np.sin(angle), z)
        light = 0.72 + 0.4 * (center[1] - height + 2 * crown) / (2 * crown)
        _blob(canvas, center, crown * rng.uniform(0.35, 0.6), shade(leaves, light), rng)


def draw_hedge(
    canvas: Canvas, x: float, near: float, far: float, height: float, rng: np.random.Generator
) -> None:
    """Bushes in a row along the street, far ones first."""
    leaves = pick(LEAVES, rng, 8)
    z = far
    while z > near:
        for level in (0.7, 0.3):
            center = (x + rng.normal(0, 0.2), height * level * rng.uniform(0.85, 1.15), z)
            colour = shade(leaves, 0.7 + 0.4 * level + rng.normal(0, 0.06))
            _blob(canvas, center, height * rng.uniform(0.38, 0.5), colour, rng)
        z -= height * rng.uniform(0.35, 0.55) * max(1.0, z / 18)


def draw_tree_line(canvas: Canvas, z: float, half_width_m: float, rng: np.random.Generator) -> None:
    """A wood across the end of the street."""
    leaves = shade(pick(LEAVES, rng, 8), 0.85)
    height = rng.uniform(4, 10)
    x = -half_width_m
    while x < half_width_m:
        for level in (0.75, 0.35):
            center = (x + rng.normal(0, 0.5), height * level * rng.uniform(0.8, 1.2), z)
            _blob(canvas, center, height * 0.36, shade(leaves, rng.uniform(0.8, 1.15)), rng)
        x += height * 0.4
