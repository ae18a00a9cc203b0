"""Pedestrians: legs, torso, arms and head as flat shapes facing the camera."""

import numpy as np

from benchmarks.scenes.camera import NEAR_M
from benchmarks.scenes.canvas import Canvas, Colour, Paint
from benchmarks.scenes.colours import CLOTHES, SKIN, pick, shade
from benchmarks.scenes.ontology import PERSON

_ANGLES = np.linspace(0, 2 * np.pi, 10, endpoint=False)


def draw_person(canvas: Canvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A standing or walking person with the feet at (x, 0, z)."""
    if z < NEAR_M + 0.5:
        return
    height = rng.uniform(1.05, 1.4) if rng.random() < 0.12 else rng.uniform(1.55, 1.92)
    instance = canvas.new_instance()
    top, bottom = pick(CLOTHES, rng, 12), pick(CLOTHES, rng, 12)
    skin = pick(SKIN, rng, 6)
    hair = shade((70, 52, 40), rng.uniform(0.3, 2.2))
    broad = height * rng.uniform(0.125, 0.165)
    stride = height * rng.uniform(0.0, 0.17)
    lean = rng.normal(0, 0.015)

    def part(points: list[tuple[float, float]], colour: Colour, sunlit: float = 0.85) -> None:
        world = [(x + (px + lean * py) * 1.0, py * height, z) for px, py in points]
        canvas.world_polygon(world, Paint(PERSON, colour, instance, grain=0.05, sunlit=sunlit))

    leg = 0.32 * broad
    for direction, tone in ((-1, 0.85), (1, 1.0)):
        foot = direction * (stride + leg * 0.7)
        hip = direction * leg * 0.6
        part([(hip - leg, 0.5), (hip + leg, 0.5), (foot + leg * 0.7, 0.04),
              (foot - leg * 0.7, 0.04)], shade(bottom, tone))  # fmt: skip
        part([(foot - leg, 0.045), (foot + leg, 0.045), (foot + leg, 0.0), (foot - leg, 0.0)],
             (36, 32, 30))  # fmt: skip
    hem = 0.36 if rng.random() < 0.3 else 0.46  # coat or jacket
    part([(-broad * 0.8, hem), (broad * 0.8, hem), (broad, 0.8), (broad * 0.55, 0.85),
          (-broad * 0.55, 0.85), (-broad, 0.8)], top)  # fmt: skip
    swing = rng.uniform(0.0, 0.6) * broad
    for direction in (-1, 1):
        shoulder, hand = direction * broad, direction * (broad + swing)
        part([(shoulder - direction * broad * 0.1, 0.81),
              (shoulder + direction * broad * 0.28, 0.77),
              (hand + direction * broad * 0.22, 0.47), (hand - direction * broad * 0.1, 0.47)],
             shade(top, 0.82))  # fmt: skip
        part([(hand - broad * 0.14, 0.47), (hand + broad * 0.2, 0.47), (hand + broad * 0.1, 0.43)],
             skin)  # fmt: skip
    if rng.random() < 0.3:
        side = float(rng.choice([-1, 1])) * broad * 1.15
        part([(side - broad * 0.4, 0.62), (side + broad * 0.4, 0.62), (side + broad * 0.4, 0.42),
              (side - broad * 0.4, 0.42)], pick(CLOTHES, rng, 12))  # fmt: skip
    head = 0.068 * height
    disc = [(head * 0.85 * np.cos(a), 0.925 + 0.075 * np.sin(a)) for a in _ANGLES]
    part(disc, skin)
    cap = [(head * 0.9 * np.cos(a), 0.945 + 0.065 * np.sin(a)) for a in _ANGLES if np.sin(a) > -0.2]
    part(cap, hair)
