"""Road, pavements, what lies beyond them, and the shadows on all of it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes.camera import NEAR_M
from benchmarks.scenes.canvas import Canvas, Floats, Paint, to_fixed
from benchmarks.scenes.colours import GRASS, PAVING, ROADS, pick
from benchmarks.scenes.noise import noise_at
from benchmarks.scenes.ontology import ROAD, SIDEWALK, VEGETATION

_TEXELS_PER_M = 14.0
_SHADE, _UNDER_CAR = 70, 90


@dataclass(frozen=True)
class Street:
    """The plan of a street in metres: X of the edges, depth of a side road, sun on the ground.

    `sun_xz` is how far, in X and Z, the shadow of one metre of height reaches.
    """

    road_left: float
    road_right: float
    walk_left: float
    walk_right: float
    end_z: float
    side_road: tuple[float, float] | None
    green: tuple[bool, bool]
    sun_xz: tuple[float, float]

    def in_side_road(self, near: float, far: float) -> bool:
        """Whether the span [near, far] touches the side road."""
        if self.side_road is None:
            return False
        return near < self.side_road[1] and far > self.side_road[0]


def draw_ground(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Fill everything below the horizon with road, pavement and verge."""
    first, x, z = canvas.camera.ground_xz()
    fade = np.clip(14.0 / z, 0.15, 1.0)  # far texture would only flicker
    texel_x, texel_z = x * np.float32(_TEXELS_PER_M), z * np.float32(_TEXELS_PER_M)
    asphalt = noise_at("asphalt", texel_x, texel_z, rng) * fade
    grain = noise_at("leaves", texel_x, texel_z, rng) * fade

    road = (x > street.road_left) & (x < street.road_right)
    if street.side_road is not None:
        road |= (z > street.side_road[0]) & (z < street.side_road[1])
    walk = ~road & (x > street.walk_left) & (x < street.walk_right)
    paving = pick(PAVING, rng, 10)
    texture = np.empty((*x.shape, 3), np.float32)
    texture[:] = _road_colours(x, z, asphalt, street, rng)
    _lay(texture, walk, paving, 9 * asphalt + _joints(x, z, fade, rng))
    kerb = walk & ((np.abs(x - street.road_left) < 0.18) | (np.abs(x - street.road_right) < 0.18))
    _lay(texture, kerb, (168, 166, 160), 6 * asphalt)

    numbers = np.empty(x.shape, np.int32)
    numbers[road] = canvas.add_region(_paint(ROAD), 0.0)
    numbers[walk] = canvas.add_region(_paint(SIDEWALK), 0.0)
    sides = (~road & ~walk & (x < 0), ~road & ~walk & (x >= 0))
    for green, beyond in zip(street.green, sides, strict=True):
        colour = pick(GRASS, rng, 10) if green else paving
        _lay(texture, beyond, colour, (16 * grain if green else 9 * asphalt))
        numbers[beyond] = canvas.add_region(_paint(VEGETATION if green else SIDEWALK), 0.0)
    canvas.region[first:] = numbers
    canvas.texture[first:] = np.clip(texture, 0, 255).astype(np.uint8)
    canvas.plane_depth_m[first:] = z


def _paint(class_id: int) -> Paint:
    return Paint(class_id, (0, 0, 0), grain=0.05, textured=True, ground=True)


def _lay(
    texture: Floats,
    where: npt.NDArray[np.bool_],
    colour: tuple[float, float, float],
    relief: Floats,
) -> None:
    texture[where] = np.asarray(colour, np.float32) + relief[where][:, None]


def _joints(x: Floats, z: Floats, fade: Floats, rng: np.random.Generator) -> Floats:
    """Dark lines between paving slabs, negative where a joint is."""
    slab_m = rng.choice([0.4, 0.6, 1.2])
    line = np.float32(0.07)
    joint = (np.mod(x / slab_m, 1) < line) | (np.mod(z / slab_m, 1) < line)
    return np.asarray(-26 * joint * fade, np.float32)


def _road_colours(
    x: Floats, z: Floats, asphalt: Floats, street: Street, rng: np.random.Generator
) -> Floats:
    colour = np.asarray(pick(ROADS, rng, 12), np.float32)
    value = colour + (11 * asphalt)[..., None]
    for _ in range(int(rng.integers(0, 4))):  # repaired patches
        x0, z0 = rng.uniform(street.road_left, street.road_right), rng.uniform(3, 30)
        patch = (
            (x > x0) & (x < x0 + rng.uniform(0.8, 2.5)) & (z > z0) & (z < z0 + rng.uniform(1, 8))
        )
        value[patch] *= np.float32(rng.uniform(0.78, 1.12))
    marks = np.zeros(x.shape, bool)
    middle = 0.5 * (street.road_left + street.road_right)
    dash = np.mod(z + rng.uniform(0, 6), 6.0) < rng.choice([3.0, 6.0])
    if rng.random() < 0.75:
        marks |= (np.abs(x - middle) < 0.08) & dash
    if rng.random() < 0.5:
        for edge in (street.road_left + 2.1, street.road_right - 2.1):
            marks |= np.abs(x - edge) < 0.06
    if rng.random() < 0.45:
        start = street.side_road[0] - 3.5 if street.side_road else rng.uniform(5, 22)
        zebra = (z > start) & (z < start + 3.0) & (np.mod(x, 1.0) < 0.5)
        marks |= zebra & (x > street.road_left + 0.3) & (x < street.road_right - 0.3)
    white = np.float32(rng.uniform(170, 225))
    worn = (asphalt[marks] > rng.uniform(0.8, 2.5))[:, None]
    value[marks] = np.where(worn, value[marks], white + 8 * asphalt[marks][:, None])
    return value


def cast_shadow(
    canvas: Canvas, street: Street, x: float, z: float, half_xz: tuple[float, float], height: float
) -> None:
    """Take the sun from the ground that a box of this footprint and height shades."""
    _fill(canvas, canvas.ground_sun, _swept(street, x, z, half_xz, height), _SHADE)


def darken_under(canvas: Canvas, x: float, z: float, half_xz: tuple[float, float]) -> None:
    """Dim the ground under a low box such as a car, in any light."""
    half_x, half_z = half_xz[0] + 0.08, half_xz[1] + 0.1
    _fill(canvas, canvas.ground_open, _rectangle(x, z, half_x, half_z), _UNDER_CAR)


def _rectangle(x: float, z: float, half_x: float, half_z: float) -> list[tuple[float, float]]:
    return [(x - half_x, z - half_z), (x + half_x, z - half_z), (x + half_x, z + half_z),
            (x - half_x, z + half_z)]  # fmt: skip


def _swept(
    street: Street, x: float, z: float, half_xz: tuple[float, float], height: float
) -> list[tuple[float, float]]:
    foot = _rectangle(x, z, *half_xz)
    dx, dz = street.sun_xz[0] * height, street.sun_xz[1] * height
    both = np.asarray(foot + [(a + dx, b + dz) for a, b in foot], np.float32)
    return [(float(a), float(b)) for a, b in cv2.convexHull(both)[:, 0]]


def _fill(
    canvas: Canvas, target: npt.NDArray[np.uint8], outline_xz: list[tuple[float, float]], value: int
) -> None:
    points = np.array([(x, 0.0, z) for x, z in outline_xz])
    if points[:, 2].max() <= NEAR_M:
        return
    cv2.fillPoly(target, [to_fixed(canvas.camera.project(points))], value, shift=4)
