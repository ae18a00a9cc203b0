"""Cars as boxes with cabins, along the street or across it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.scenes.camera import NEAR_M
from benchmarks.scenes.canvas import HEADLIGHT, NO_LIGHT, TAIL_LIGHT, Canvas, Colour, Paint
from benchmarks.scenes.colours import CARS, pick, shade
from benchmarks.scenes.ontology import CAR

_ANGLES = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_TYRE: Colour = (26, 26, 28)
_HUB: Colour = (128, 128, 130)
_GLASS: Colour = (48, 56, 66)
_PLATE: Colour = (206, 204, 190)
_WHITE_LAMP: Colour = (220, 220, 206)
_RED_LAMP: Colour = (168, 28, 25)
_FLOOR_M = 0.22

Point = tuple[float, float, float]


@dataclass(frozen=True)
class _Car:
    """Measures in metres, the share of the length before the cabin, colour and instance."""

    length: float
    width: float
    height: float
    hood: float
    colour: Colour
    instance: int

    @property
    def belt(self) -> float:
        """Height of the lower edge of the windows."""
        return 0.58 * self.height

    def paint(self, colour: Colour, sunlit: float = 1.0, light: int = NO_LIGHT) -> Paint:
        return Paint(CAR, colour, self.instance, grain=0.03, light=light, sunlit=sunlit)

    def body(self, tone: float, sunlit: float = 1.0) -> Paint:
        return self.paint(shade(self.colour, tone), sunlit)


def _random_car(canvas: Canvas, rng: np.random.Generator) -> _Car:
    colour, instance = pick(CARS, rng, 12), canvas.new_instance()
    if rng.random() < 0.18:
        return _Car(rng.uniform(4.6, 6.2), 2.0, rng.uniform(1.9, 2.6), 0.12, colour, instance)
    length, width, height = rng.uniform(3.7, 4.8), rng.uniform(1.65, 1.85), rng.uniform(1.38, 1.65)
    return _Car(length, width, height, 0.24, colour, instance)


def draw_car_along(
    canvas: Canvas, x: float, z: float, oncoming: bool, rng: np.random.Generator
) -> None:
    """A car parallel to the street with its near end at depth z, centred at x."""
    if z < NEAR_M + 0.5:
        return
    car = _random_car(canvas, rng)
    left, right = x - car.width / 2, x + car.width / 2
    # The flank that the camera can see: none when the car is straight ahead.
    if left > 0:
        _draw_flank(canvas, car, left, z)
    elif right < 0:
        _draw_flank(canvas, car, right, z)
    belt, inset = car.belt, 0.1 * car.width
    cabin_near, cabin_far = z + 0.08 * car.length, z + (1 - car.hood) * car.length
    deck = [(left, belt, z), (right, belt, z), (right, belt, cabin_far), (left, belt, cabin_far)]
    canvas.world_polygon(deck, car.body(1.12))
    roof_near = cabin_near + 0.1 * car.length
    pane = [(left + 0.02, belt, cabin_near), (right - 0.02, belt, cabin_near),
            (right - inset, car.height, roof_near),
            (left + inset, car.height, roof_near)]  # fmt: skip
    canvas.world_polygon(pane, car.body(0.85))
    canvas.world_polygon(_shrink(pane, 0.8), car.paint(_GLASS, 0.6))
    roof = [(left, car.height, roof_near), (right, car.height, roof_near),
            (right, car.height, cabin_far), (left, car.height, cabin_far)]  # fmt: skip
    canvas.world_polygon(roof, car.body(1.15))
    _draw_end(canvas, car, x, z, oncoming)


def _draw_flank(canvas: Canvas, car: _Car, x: float, z: float) -> None:
    length, height, belt, front = car.length, car.height, car.belt, z + car.length
    outline = [
        (x, _FLOOR_M, z), (x, belt, z), (x, belt, z + 0.08 * length),
        (x, height, z + 0.2 * length), (x, height, front - (car.hood + 0.1) * length),
        (x, belt, front - car.hood * length), (x, belt * 0.86, front), (x, _FLOOR_M, front),
    ]  # fmt: skip
    canvas.world_polygon(outline, car.body(0.92, 0.7))
    glass = [
        (x, belt * 1.05, z + 0.13 * length), (x, height * 0.94, z + 0.22 * length),
        (x, height * 0.94, front - (car.hood + 0.12) * length),
        (x, belt * 1.05, front - (car.hood + 0.03) * length),
    ]  # fmt: skip
    canvas.world_polygon(glass, car.paint(_GLASS, 0.6))
    for share in (0.2, 0.8):
        center = z + share * length
        for radius, colour in ((0.32, _TYRE), (0.15, _HUB)):
            rim = [(x, 0.32 + radius * np.sin(a), center + radius * np.cos(a)) for a in _ANGLES]
            canvas.world_polygon(rim, car.paint(colour, 0.5))


def _draw_end(canvas: Canvas, car: _Car, x: float, z: float, oncoming: bool) -> None:
    """The face towards the camera: panel, bumper, tyres, lamps and plate."""
    half, belt = car.width / 2, car.belt

    def box(x0: float, x1: float, y0: float, y1: float, paint: Paint) -> None:
        corners = [(x + x0, y0, z), (x + x1, y0, z), (x + x1, y1, z), (x + x0, y1, z)]
        canvas.world_polygon(corners, paint)

    box(-half, half, _FLOOR_M, belt, car.body(0.8, 0.55))
    box(-half, half, _FLOOR_M, _FLOOR_M + 0.18, car.body(0.5, 0.5))
    low, high = belt - 0.26, belt - 0.08
    lamp = (
        car.paint(_WHITE_LAMP, 1.0, HEADLIGHT)
        if oncoming
        else car.paint(_RED_LAMP, 1.0, TAIL_LIGHT)
    )
    for side in (-1, 1):
        box(side * (half - 0.12), side * (half - 0.34), 0.0, _FLOOR_M, car.paint(_TYRE, 0.3))
        box(side * (half - 0.06), side * (half - 0.36), low, high, lamp)
    box(-0.26, 0.26, low - 0.1, low + 0.03, car.paint(_PLATE, 0.8))


def draw_car_across(
    canvas: Canvas, x: float, z: float, facing: int, rng: np.random.Generator
) -> None:
    """A car seen from its side, centred at x, driving to the right (+1) or to the left (-1)."""
    car = _random_car(canvas, rng)
    belt, height, hood = car.belt, car.height, car.hood

    def at(share: float, y: float) -> Point:
        return x + facing * (share - 0.5) * car.length, y, z

    outline = [at(0, _FLOOR_M), at(0, belt), at(0.06, belt), at(0.2, height),
               at(0.9 - hood, height), at(1 - hood, belt), at(1, belt * 0.85),
               at(1, _FLOOR_M)]  # fmt: skip
    canvas.world_polygon(outline, car.body(1.0, 0.75))
    sill = _FLOOR_M + 0.14
    canvas.world_polygon([at(0, _FLOOR_M), at(1, _FLOOR_M), at(1, sill), at(0, sill)],
                         car.body(0.55, 0.5))  # fmt: skip
    glass = [at(0.12, belt * 1.05), at(0.22, height * 0.94), at(0.88 - hood, height * 0.94),
             at(0.97 - hood, belt * 1.05)]  # fmt: skip
    canvas.world_polygon(glass, car.paint(_GLASS, 0.6))
    post = [at(0.5, belt), at(0.53, belt), at(0.53, height), at(0.5, height)]
    canvas.world_polygon(post, car.body(0.9, 0.7))
    for share in (0.19, 0.8):
        center, _, _ = at(share, 0)
        for radius, colour in ((0.33, _TYRE), (0.16, _HUB)):
            rim = [(center + radius * np.cos(a), 0.33 + radius * np.sin(a), z) for a in _ANGLES]
            canvas.world_polygon(rim, car.paint(colour, 0.5))
    for share, light, colour in ((0.0, TAIL_LIGHT, _RED_LAMP), (0.96, HEADLIGHT, _WHITE_LAMP)):
        lamp = [at(share, belt - 0.2), at(share + 0.04, belt - 0.2),
                at(share + 0.04, belt - 0.05), at(share, belt - 0.05)]  # fmt: skip
        canvas.world_polygon(lamp, car.paint(colour, 1.0, light))


def _shrink(points: list[Point], share: float) -> npt.NDArray[np.float64]:
    corners = np.asarray(points, np.float64)
    middle: npt.NDArray[np.float64] = corners.mean(axis=0)
    shrunk: npt.NDArray[np.float64] = middle + share * (corners - middle)
    return shrunk
