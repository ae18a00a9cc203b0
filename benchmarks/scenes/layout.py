"""The street of one seed: geometry, materials and labels, before any light falls on it."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes.buildings import draw_house, draw_skyline
from benchmarks.scenes.camera import Camera, random_camera
from benchmarks.scenes.canvas import NO_LIGHT, WINDOW, Bytes, Canvas, Floats
from benchmarks.scenes.furniture import (
    draw_fence_across,
    draw_fence_along,
    draw_pole,
    draw_sign,
    draw_street_lamp,
)
from benchmarks.scenes.ground import Street, cast_shadow, darken_under, draw_ground
from benchmarks.scenes.noise import noise_patch
from benchmarks.scenes.people import draw_person
from benchmarks.scenes.plants import draw_hedge, draw_tree, draw_tree_line
from benchmarks.scenes.seeds import layout_rng
from benchmarks.scenes.vehicles import draw_car_across, draw_car_along

_Placed = tuple[float, Callable[[], None]]


@dataclass(frozen=True)
class Layout:
    """All that a style needs to light a scene; maps are [H, W] unless stated.

    Attributes:
        camera: the camera.
        label: uint8 class ids.
        instances: int32, 0 for stuff, else 1..n over things.
        albedo: float32 [H, W, 3], share of light given back, 0..1.
        depth_m: float32 metres.
        sunlit: float32 0..1, share of direct sun.
        open_sky: float32 0..1, share of the light of the sky.
        light: uint8, kind of lamp at the pixel (`canvas.NO_LIGHT` and others).
        window_key: uint8, 0 or the random key of a window.
        lamps_xyz: street lamps in metres.
    """

    camera: Camera
    label: Bytes
    instances: npt.NDArray[np.int32]
    albedo: Floats
    depth_m: Floats
    sunlit: Floats
    open_sky: Floats
    light: Bytes
    window_key: Bytes
    lamps_xyz: list[tuple[float, float, float]]


def build_layout(seed: int, size_hw: tuple[int, int]) -> Layout:
    """The street of a seed, the same whatever style will light it."""
    rng = layout_rng(seed)
    canvas = Canvas(random_camera(size_hw, rng))
    street = _plan(rng)
    _draw_end(canvas, street, rng)
    draw_ground(canvas, street, rng)
    for side in (-1, 1):
        _draw_side(canvas, street, side, rng)
    placed = [*_cars(canvas, street, rng), *_people(canvas, street, rng)]
    placed += _furniture(canvas, street, rng)
    for _, draw in sorted(placed, key=lambda item: -item[0]):
        draw()
    return _finish(canvas, rng)


def _plan(rng: np.random.Generator) -> Street:
    left, right = -rng.uniform(2.4, 5.8), rng.uniform(2.3, 4.6)
    begin = rng.uniform(12, 38)
    side_road = (begin, begin + rng.uniform(6, 9)) if rng.random() < 0.45 else None
    return Street(
        road_left=left,
        road_right=right,
        walk_left=left - rng.uniform(2.2, 5.5),
        walk_right=right + rng.uniform(2.2, 5.5),
        end_z=rng.uniform(55, 130),
        side_road=side_road,
        green=(rng.random() < 0.5, rng.random() < 0.5),
        sun_xz=(rng.uniform(-1.2, 1.2), rng.uniform(-0.6, 0.8)),
    )


def _draw_end(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    draw_tree_line(canvas, street.end_z + 40, 110, rng)
    kind = rng.random()
    if kind < 0.45:
        draw_skyline(canvas, street.end_z + 15, 60, rng)
    elif kind < 0.75:
        draw_tree_line(canvas, street.end_z + 10, 45, rng)


def _draw_side(canvas: Canvas, street: Street, side: int, rng: np.random.Generator) -> None:
    """Houses, gardens and gaps along one side, far ones first."""
    edge = street.walk_left if side < 0 else street.walk_right
    sun_side = float(np.clip(street.sun_xz[0], -1, 1))
    built = rng.uniform(0.2, 0.9)
    z, blocks = rng.uniform(-6, 0), []
    while z < street.end_z:
        length = rng.uniform(6, 20)
        blocks.append((z, min(z + length, street.end_z + 5), rng.random()))
        z += length + (rng.uniform(0.0, 4.0) if rng.random() < 0.4 else 0.0)
    for near, far, kind in reversed(blocks):
        if street.in_side_road(near, far) or far < 2.5:
            continue
        if kind < built:
            setback = rng.uniform(1.0, 4.0) if rng.random() < 0.45 else 0.0
            x = edge + side * (setback + 0.05)
            height = draw_house(canvas, side, x, near, far, sun_side, rng)
            middle, half = 0.5 * (near + far), 0.5 * (far - near)
            cast_shadow(canvas, street, x + side * 4, middle, (4.0, half), height)
            if setback > 1.5 and rng.random() < 0.6:
                draw_fence_along(canvas, edge + side * 0.1, near, far, rng)
        else:
            _garden(canvas, side, edge, near, far, rng)


def _garden(
    canvas: Canvas, side: int, edge: float, near: float, far: float, rng: np.random.Generator
) -> None:
    near = max(near, 2.0)
    if rng.random() < 0.7:
        draw_hedge(canvas, edge + side * rng.uniform(2, 5), near, far, rng.uniform(1.2, 3.5), rng)
    for z in sorted(rng.uniform(near, far, int(rng.integers(0, 4))), reverse=True):
        draw_tree(canvas, edge + side * rng.uniform(1.8, 6), float(z), rng)
    if rng.random() < 0.9:
        fence_x = edge + side * 0.15
        if near > 4 and rng.random() < 0.5:
            draw_fence_across(canvas, fence_x, fence_x + side * rng.uniform(3, 8), near, rng)
        draw_fence_along(canvas, fence_x, near, far, rng)


def _cars(canvas: Canvas, street: Street, rng: np.random.Generator) -> list[_Placed]:
    placed: list[_Placed] = []

    def along(x: float, z: float, oncoming: bool) -> None:
        def draw() -> None:
            cast_shadow(canvas, street, x, z + 2.1, (0.85, 2.1), 1.3)
            darken_under(canvas, x, z + 2.1, (0.85, 2.1))
            draw_car_along(canvas, x, z, oncoming, rng)

        placed.append((z, draw))

    for x, oncoming, share in (
        (street.road_right - 1.05, False, rng.choice([0.0, 0.4, 0.75])),
        (street.road_left + 1.05, bool(rng.random() < 0.6), rng.choice([0.0, 0.4, 0.75])),
    ):
        z = rng.uniform(2.5, 8)
        while z < 55:
            if rng.random() < share and not street.in_side_road(z - 1, z + 6):
                along(x + rng.normal(0, 0.08), z, oncoming)
            z += rng.uniform(5.6, 8.0)
    if rng.random() < 0.55:
        along(rng.uniform(-0.4, 0.9), rng.uniform(8, 40), False)
    if rng.random() < 0.55 and street.road_left < -4.5:
        along(max(street.road_left + 2.9, -3.2), rng.uniform(7, 45), True)
    if street.side_road is not None and rng.random() < 0.5:
        z = float(np.mean(street.side_road)) + rng.choice([-1.4, 1.4])
        x, facing = rng.uniform(street.walk_left, street.walk_right), int(rng.choice([-1, 1]))

        def across() -> None:
            cast_shadow(canvas, street, x, z, (2.0, 0.8), 1.3)
            darken_under(canvas, x, z, (2.0, 0.8))
            draw_car_across(canvas, x, z, facing, rng)

        placed.append((z, across))
    return placed


def _people(canvas: Canvas, street: Street, rng: np.random.Generator) -> list[_Placed]:
    placed: list[_Placed] = []

    def stand(x: float, z: float) -> None:
        def draw() -> None:
            cast_shadow(canvas, street, x, z, (0.22, 0.12), 1.7)
            draw_person(canvas, x, z, rng)

        placed.append((z, draw))

    for inner, outer in (
        (street.road_left, street.walk_left),
        (street.road_right, street.walk_right),
    ):
        for _ in range(int(rng.poisson(3.0))):
            x, z = rng.uniform(0.15, 0.9) * (outer - inner) + inner, 3.0 + rng.gamma(2.0, 4.5)
            stand(x, z)
            if rng.random() < 0.3:
                stand(x + rng.uniform(0.45, 0.7), z + rng.uniform(-0.3, 0.3))
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            stand(rng.uniform(street.road_left, street.road_right), rng.uniform(6, 25))
    return placed


def _furniture(canvas: Canvas, street: Street, rng: np.random.Generator) -> list[_Placed]:
    placed: list[_Placed] = []

    def put(
        draw_one: Callable[[Canvas, float, float, np.random.Generator], None],
        x: float,
        z: float,
        half_width: float,
        height: float,
    ) -> None:
        def draw() -> None:
            cast_shadow(canvas, street, x, z, (half_width, half_width), height)
            draw_one(canvas, x, z, rng)

        placed.append((z, draw))

    for inner, outer in (
        (street.road_left, street.walk_left),
        (street.road_right, street.walk_right),
    ):
        kerb = inner + 0.16 * (outer - inner)
        if rng.random() < 0.75:
            for z in np.arange(rng.uniform(4, 14), 75, rng.uniform(14, 24)):
                put(draw_street_lamp, kerb, float(z), 0.1, 6.0)
        for _ in range(int(rng.integers(0, 3))):
            put(draw_pole, kerb + rng.normal(0, 0.1), rng.uniform(4, 35), 0.1, 5.0)
        for _ in range(int(rng.integers(0, 4))):
            put(draw_sign, kerb + rng.normal(0, 0.2), 4.5 + rng.gamma(1.6, 5.0), 0.15, 2.6)
        if rng.random() < 0.35:
            for z in np.arange(rng.uniform(6, 14), 60, rng.uniform(7, 12)):
                put(draw_tree, inner + 0.3 * (outer - inner), float(z), 1.3, 6.0)
    return placed


def _finish(canvas: Canvas, rng: np.random.Generator) -> Layout:
    """Look every map up in the table of regions."""
    region, paints = canvas.region, canvas.paints
    textured = np.array([p.textured for p in paints])[region]
    label = np.array([p.class_id for p in paints], np.uint8)[region]
    colour = np.array([p.colour for p in paints], np.float32)[region]
    colour[textured] = canvas.texture[textured]
    depth = np.array(canvas.depths_m, np.float32)[region]
    depth[textured] = canvas.plane_depth_m[textured]
    grain = np.array([p.grain for p in paints], np.float32)[region]
    roughness = 0.75 * noise_patch("leaves", region.shape, rng)
    roughness += 0.5 * noise_patch("fine", region.shape, rng)
    albedo = np.clip(colour * np.float32(1 / 255) * (1 + grain * roughness)[..., None], 0.01, 1)

    is_ground = np.array([p.ground for p in paints])[region]
    sunlit = np.array([p.sunlit for p in paints], np.float32)[region]
    soft = cv2.GaussianBlur(canvas.ground_sun, (0, 0), 0.8).astype(np.float32) / 255
    sunlit = np.where(is_ground, soft, sunlit)
    under = cv2.GaussianBlur(canvas.ground_open, (0, 0), 0.8).astype(np.float32) / 255
    light = np.array([p.light for p in paints], np.uint8)[region]
    window = np.where(textured & ~is_ground, canvas.window, 0).astype(np.uint8)
    light[(window > 0) & (light == NO_LIGHT)] = WINDOW
    return Layout(
        camera=canvas.camera,
        label=label,
        instances=np.array([p.instance for p in paints], np.int32)[region],
        albedo=albedo.astype(np.float32),
        depth_m=np.maximum(depth, 0.5),
        sunlit=sunlit.astype(np.float32),
        open_sky=np.where(is_ground, under, 1).astype(np.float32),
        light=light,
        window_key=window,
        lamps_xyz=canvas.lamps_xyz,
    )
