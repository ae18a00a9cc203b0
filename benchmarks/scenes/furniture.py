"""Thin things beside the road: poles, street lamps, traffic signs and fences."""

import numpy as np

from benchmarks.scenes.camera import NEAR_M
from benchmarks.scenes.canvas import LAMP, Canvas, Colour, Paint
from benchmarks.scenes.colours import FENCES, METAL, pick, shade
from benchmarks.scenes.ontology import FENCE, POLE, SIGN

_RED, _BLUE, _WHITE = (186, 34, 36), (32, 74, 150), (226, 226, 222)
_YELLOW, _GREEN, _BLACK = (222, 186, 40), (28, 108, 70), (34, 34, 34)
_LEAST_BAR_PITCH_PX = 4.0


def _post(canvas: Canvas, x: float, z: float, height: float, width: float, colour: Colour) -> None:
    # Thinner than 1.5 pixels a post would break into dots.
    half = max(width, 1.5 * z / canvas.camera.focal_px) / 2
    for share, tone in ((1.0, 0.75), (0.5, 1.1)):
        corners = [(x - half, 0, z), (x + (2 * share - 1) * half, 0, z)]
        top = [(x + (2 * share - 1) * half, height, z), (x - half, height, z)]
        canvas.world_polygon(
            [*corners, *top], Paint(POLE, shade(colour, tone), grain=0.05, sunlit=0.85)
        )


def draw_pole(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A bare pole or a bollard."""
    tall = rng.random() < 0.75
    height = rng.uniform(5, 9) if tall else rng.uniform(0.8, 1.1)
    _post(canvas, x, z, height, rng.uniform(0.16, 0.32), pick(METAL, rng))


def draw_street_lamp(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A pole with an arm towards the road and a lamp, which lights the street in the dark."""
    height, colour = rng.uniform(5.0, 8.0), pick(METAL, rng)
    _post(canvas, x, z, height, rng.uniform(0.15, 0.24), colour)
    reach = -np.sign(x) * rng.uniform(0.8, 2.0)
    thick = max(0.1, 1.5 * z / canvas.camera.focal_px)
    arm = [(x, height, z), (x + reach, height + 0.15, z), (x + reach, height + 0.15 + thick, z),
           (x, height + thick, z)]  # fmt: skip
    canvas.world_polygon(arm, Paint(POLE, shade(colour, 0.8), grain=0.05, sunlit=0.8))
    head = [(x + reach * 0.75, height - 0.02, z), (x + reach * 1.15, height - 0.02, z),
            (x + reach * 1.1, height + 0.22, z), (x + reach * 0.8, height + 0.22, z)]  # fmt: skip
    canvas.world_polygon(head, Paint(POLE, (196, 196, 190), grain=0.03, light=LAMP, sunlit=0.8))
    canvas.lamps_xyz.append((float(x + reach), float(height), float(z)))


def draw_sign(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """One or two traffic signs on a post."""
    height = rng.uniform(2.1, 3.0)
    _post(canvas, x, z + 0.02, height, rng.uniform(0.07, 0.12), pick(METAL, rng))
    size = rng.uniform(0.36, 0.62)
    _plate(canvas, x, height - size * 0.3, z, size, rng)
    if rng.random() < 0.3:
        _plate(canvas, x, height - size * 2.5, z, size * 0.85, rng)


def _plate(
    canvas: Canvas, x: float, y: float, z: float, size: float, rng: np.random.Generator
) -> None:
    instance = canvas.new_instance()
    faded = rng.uniform(0.75, 1.1)

    def layer(
        corners: int, turn: float, scale: float, colour: Colour, squeeze: float = 1.0
    ) -> None:
        angles = turn + 2 * np.pi * np.arange(corners) / corners
        points = [(x + scale * np.cos(a), y + scale * squeeze * np.sin(a), z) for a in angles]
        canvas.world_polygon(points, Paint(SIGN, shade(colour, faded), instance, grain=0.03))

    def bar(x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        corners = [
            (x + size * a, y + size * b, z) for a, b in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        ]
        canvas.world_polygon(corners, Paint(SIGN, shade(colour, faded), instance, grain=0.03))

    quarter = np.pi / 4
    kind = int(rng.integers(7))
    if kind == 0:  # no entry
        layer(14, 0, size, _RED)
        bar(-0.6, -0.15, 0.6, 0.15, _WHITE)
    elif kind == 1:  # limit
        layer(14, 0, size, _RED)
        layer(14, 0, size * 0.74, _WHITE)
        bar(-0.35, -0.35, -0.05, 0.35, _BLACK)
        bar(0.1, -0.35, 0.4, 0.35, _BLACK)
    elif kind == 2:  # warning
        layer(3, np.pi / 2, size * 1.15, _RED)
        layer(3, np.pi / 2, size * 0.7, _WHITE)
        bar(-0.08, -0.2, 0.08, 0.25, _BLACK)
    elif kind == 3:  # priority
        layer(4, 0, size * 1.1, _WHITE)
        layer(4, 0, size * 0.75, _YELLOW)
    elif kind == 4:  # crossing
        layer(4, quarter, size * 1.3, _BLUE)
        layer(3, np.pi / 2, size * 0.75, _WHITE)
    elif kind == 5:  # direction board
        colour = (_BLUE, _GREEN, _YELLOW)[int(rng.integers(3))]
        bar(-1.9, -0.6, 1.9, 0.6, colour)
        bar(-1.4, 0.1, 1.2, 0.28, _WHITE)
        bar(-1.4, -0.3, 0.6, -0.12, _WHITE)
    else:  # the grey back of a sign for the others
        layer(14, 0, size, (142, 144, 146))
        bar(-0.1, -0.8, 0.1, 0.8, (112, 114, 116))


def draw_fence_along(
    canvas: Canvas, x: float, near: float, far: float, rng: np.random.Generator
) -> None:
    """A fence parallel to the street: boards, or bars that one can see through."""
    near = max(near, NEAR_M + 0.2)
    height, colour = rng.uniform(1.0, 2.2), pick(FENCES, rng, 12)
    bars = rng.random() < 0.55
    pitch = rng.uniform(0.2, 0.4) if bars else rng.uniform(0.12, 0.3)
    fill = rng.uniform(0.35, 0.55) if bars else 1.0
    # Bars closer than a few pixels merge in any picture, so from there on they are one surface.
    focal = canvas.camera.focal_px
    merged_from = float(np.sqrt(focal * abs(x) * pitch / _LEAST_BAR_PITCH_PX))
    merged_from = float(np.clip(merged_from, near, far))

    def panel(z0: float, z1: float, y0: float, y1: float, tone: float) -> None:
        quad = [(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)]
        canvas.world_polygon(quad, Paint(FENCE, shade(colour, tone), grain=0.1, sunlit=0.8))

    step = max(1.5, 0.06 * (far - merged_from))
    for z in np.arange(merged_from, far, step)[::-1]:
        panel(float(z), float(min(far, z + step)), 0.0 if not bars else 0.08, height, 0.9)
    for z in np.arange(near, merged_from, pitch)[::-1]:
        panel(float(z), float(min(z + fill * pitch, far)), 0.0, height, rng.uniform(0.85, 1.1))
    if bars and merged_from > near:
        for y in (0.18 * height, 0.86 * height):
            panel(near, merged_from, y, y + 0.09, 1.05)


def draw_fence_across(
    canvas: Canvas, x0: float, x1: float, z: float, rng: np.random.Generator
) -> None:
    """A fence that faces the camera."""
    height, colour = rng.uniform(0.9, 1.8), pick(FENCES, rng, 12)
    bars = rng.random() < 0.5
    pitch = max(rng.uniform(0.2, 0.45), _LEAST_BAR_PITCH_PX * z / canvas.camera.focal_px)
    fill = rng.uniform(0.4, 0.55) if bars else 1.0
    for x in np.arange(min(x0, x1), max(x0, x1), pitch):
        end = x + fill * pitch
        quad = [(x, 0, z), (end, 0, z), (end, height, z), (x, height, z)]
        tone = shade(colour, rng.uniform(0.8, 1.05))
        canvas.world_polygon(quad, Paint(FENCE, tone, grain=0.1, sunlit=0.7))
    for y in (0.2 * height, 0.85 * height) if bars else ():
        rail = [(x0, y, z), (x1, y, z), (x1, y + 0.1, z), (x0, y + 0.1, z)]
        canvas.world_polygon(rail, Paint(FENCE, shade(colour, 0.95), grain=0.1, sunlit=0.7))
