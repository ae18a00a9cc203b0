"""Facades with windows, doors and shops, and the houses made of them."""

import cv2
import numpy as np

from benchmarks.scenes.camera import NEAR_M
from benchmarks.scenes.canvas import Bytes, Canvas, Colour, Paint
from benchmarks.scenes.colours import FACADES, pick, shade
from benchmarks.scenes.noise import noise_patch
from benchmarks.scenes.ontology import BUILDING

_WALL = Paint(BUILDING, (0, 0, 0), grain=0.04, textured=True)


def facade(
    length_m: float, height_m: float, px_per_m: float, colour: Colour, rng: np.random.Generator
) -> tuple[Bytes, Bytes]:
    """A picture of a facade seen square on.

    Returns:
        Texture uint8 [h, w, 3] and window keys uint8 [h, w]: 0 for wall, else 1..255, the same
        over one window.
    """
    h = int(np.clip(round(height_m * px_per_m), 8, 360))
    w = int(np.clip(round(length_m * px_per_m), 4, 480))
    wall = np.asarray(colour, np.float32) + 5.0 * noise_patch("asphalt", (h, w), rng)[..., None]
    if rng.random() < 0.4 and px_per_m >= 5:  # courses of brick or boards
        pitch = max(2, round(px_per_m * rng.uniform(0.25, 0.5)))
        wall[::pitch] *= np.float32(rng.uniform(0.8, 0.92))
    texture = np.clip(wall, 0, 255).astype(np.uint8)
    window = np.zeros((h, w), np.uint8)
    _storeys(texture, window, px_per_m, colour, rng)
    return texture, window


def _storeys(
    texture: Bytes, window: Bytes, px_per_m: float, colour: Colour, rng: np.random.Generator
) -> None:
    h, w = window.shape
    storey = rng.uniform(2.8, 3.6) * px_per_m
    pitch = rng.uniform(1.8, 3.4) * px_per_m
    wide, tall = rng.uniform(0.4, 0.7) * pitch, rng.uniform(0.42, 0.66) * storey
    frame = shade(colour, rng.choice([0.6, 1.3, 1.5]))
    glass = (rng.uniform(30, 90), rng.uniform(38, 105), rng.uniform(48, 125))
    ledges = rng.random() < 0.5
    shop = rng.random() < 0.4
    left = rng.uniform(0.2, 0.6) * pitch
    columns = np.arange(left, max(left + 1, w - wide * 0.6), pitch)
    for floor in range(max(1, int(h / storey))):
        bottom = h - floor * storey
        if floor == 0 and shop:
            _shop_front(texture, window, bottom, storey, px_per_m, rng)
            continue
        sill = bottom - 0.28 * storey
        for x in columns:
            door = floor == 0 and rng.random() < 0.2
            box = (x, sill - tall, x + wide, bottom if door else sill)
            pane = shade(glass, rng.uniform(0.7, 1.4)) if not door else shade(colour, 0.45)
            _pane(texture, window, box, pane, frame, 0 if door else int(rng.integers(1, 256)))
        if ledges:
            row = int(bottom - storey)
            texture[max(0, row) : row + max(1, int(0.12 * px_per_m))] = np.array(frame, np.uint8)


def _shop_front(
    texture: Bytes,
    window: Bytes,
    bottom: float,
    storey: float,
    px_per_m: float,
    rng: np.random.Generator,
) -> None:
    w = window.shape[1]
    awning = (rng.uniform(40, 220), rng.uniform(40, 220), rng.uniform(40, 220))
    x = 0.3 * px_per_m
    while x < w - px_per_m:
        wide = rng.uniform(2.0, 4.5) * px_per_m
        dark = float(rng.uniform(35, 95))
        box = (x, bottom - 0.72 * storey, min(w - 1.0, x + wide), bottom - 0.12 * storey)
        _pane(texture, window, box, (dark, dark, dark + 8), awning, int(rng.integers(1, 140)))
        x += wide + 0.4 * px_per_m
    top = int(bottom - 0.92 * storey)
    texture[max(0, top) : max(0, int(bottom - 0.74 * storey))] = np.array(awning, np.uint8)


def _pane(
    texture: Bytes,
    window: Bytes,
    box_xyxy: tuple[float, float, float, float],
    glass: Colour,
    frame: Colour,
    key: int,
) -> None:
    x0, y0, x1, y1 = (int(round(v)) for v in box_xyxy)
    cv2.rectangle(texture, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), frame, 1)
    cv2.rectangle(texture, (x0, y0), (x1, y1), glass, -1)
    sheen = shade(glass, 1.35)  # the upper part mirrors the sky
    cv2.rectangle(texture, (x0, y0), (x1, y0 + (y1 - y0) // 3), sheen, -1)
    if key:
        cv2.rectangle(window, (x0, y0), (x1, y1), key, -1)


def draw_house(
    canvas: Canvas,
    side: int,
    facade_x_m: float,
    near_z_m: float,
    far_z_m: float,
    sun_side: float,
    rng: np.random.Generator,
) -> float:
    """One house along the street and the wall that it turns to the camera.

    Args:
        canvas: drawn on; what stands nearer must be drawn later.
        side: -1 left of the street, +1 right.
        facade_x_m: X of the facade.
        near_z_m: where the house begins.
        far_z_m: where it ends.
        sun_side: share of the sun on left-hand facades minus that on right-hand ones, -1..1.
        rng: the layout's stream.

    Returns:
        Height in metres, for the shadow.
    """
    colour = pick(FACADES, rng, 14)
    height = float(rng.choice([rng.uniform(4, 8), rng.uniform(8, 15), rng.uniform(15, 26)]))
    near = max(near_z_m, NEAR_M)
    focal = canvas.camera.focal_px
    px_per_m = float(np.clip(1.2 * focal / max(near, 4.0), 3.0, 16.0))
    along, keys = facade(far_z_m - near, height, px_per_m, colour, rng)
    sunlit = float(np.clip(0.5 - 0.5 * side * sun_side, 0.05, 1.0))
    paint = Paint(BUILDING, colour, grain=0.04, textured=True, sunlit=sunlit)
    if near_z_m > NEAR_M:
        depth_m = rng.uniform(6, 11)
        front, front_keys = facade(depth_m, height, px_per_m, shade(colour, 0.92), rng)
        outer = facade_x_m + side * depth_m
        corners = [(facade_x_m, 0, near), (outer, 0, near), (outer, height, near)]
        canvas.wall([*corners, (facade_x_m, height, near)], front, front_keys, _WALL)
        if height < 9 and rng.random() < 0.6:
            _gable(canvas, side, facade_x_m, depth_m, height, near, far_z_m, colour, rng)
    x = facade_x_m
    quad = [(x, 0, near), (x, 0, far_z_m), (x, height, far_z_m), (x, height, near)]
    canvas.wall(quad, along, keys, paint)
    return height


def _gable(
    canvas: Canvas,
    side: int,
    x: float,
    depth_m: float,
    height: float,
    near: float,
    far: float,
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    ridge_x, ridge_y = x + side * depth_m / 2, height + rng.uniform(1.5, 3.0)
    tile = shade((132, 74, 58), rng.uniform(0.6, 1.2)) if rng.random() < 0.6 else (78, 78, 84)
    slope = [(x, height, near), (x, height, far), (ridge_x, ridge_y, far), (ridge_x, ridge_y, near)]
    canvas.world_polygon(slope, Paint(BUILDING, tile, grain=0.12))
    gable = [(x, height, near), (x + side * depth_m, height, near), (ridge_x, ridge_y, near)]
    canvas.world_polygon(gable, Paint(BUILDING, shade(colour, 0.9), grain=0.06))


def draw_skyline(canvas: Canvas, z_m: float, half_width_m: float, rng: np.random.Generator) -> None:
    """A row of buildings across the end of the street."""
    x = -half_width_m
    while x < half_width_m:
        wide, height = rng.uniform(6, 16), rng.uniform(5, 24)
        colour = shade(pick(FACADES, rng, 14), 0.9)
        texture, keys = facade(wide, height, 3.5, colour, rng)
        quad = [(x, 0, z_m), (x + wide, 0, z_m), (x + wide, height, z_m), (x, height, z_m)]
        canvas.wall(quad, texture, keys, _WALL)
        x += wide
