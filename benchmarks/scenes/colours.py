"""Palettes. They overlap between classes on purpose: colour alone must not give the class away."""

import numpy as np

from benchmarks.scenes.canvas import Colour

FACADES: tuple[Colour, ...] = (
    (150, 146, 140), (182, 172, 154), (142, 84, 66), (168, 108, 84), (204, 196, 180),
    (120, 118, 120), (196, 170, 126), (164, 132, 118), (108, 124, 132), (190, 190, 192),
    (126, 138, 112), (90, 78, 74), (212, 180, 150), (176, 148, 150),
)  # fmt: skip
CARS: tuple[Colour, ...] = (
    (226, 226, 226), (30, 30, 32), (132, 134, 138), (178, 180, 184), (154, 28, 30), (36, 62, 128),
    (70, 86, 60), (196, 170, 120), (58, 58, 64), (206, 108, 36), (40, 110, 120), (104, 72, 54),
    (214, 190, 50), (96, 98, 102),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (34, 34, 40), (60, 66, 84), (196, 196, 192), (150, 40, 44), (44, 78, 128), (116, 104, 88),
    (84, 104, 70), (208, 176, 84), (130, 90, 130), (90, 90, 92), (176, 116, 84), (64, 120, 116),
)  # fmt: skip
SKIN: tuple[Colour, ...] = (
    (224, 184, 156), (196, 148, 116), (152, 104, 76), (104, 70, 52), (236, 204, 180),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = (
    (70, 100, 50), (92, 116, 58), (58, 84, 52), (112, 122, 58), (88, 104, 70), (136, 116, 58),
    (150, 98, 50), (76, 96, 40),
)  # fmt: skip
METAL: tuple[Colour, ...] = (
    (120, 122, 124), (82, 84, 86), (156, 158, 160), (60, 76, 66), (48, 48, 50), (128, 108, 88),
)  # fmt: skip
FENCES: tuple[Colour, ...] = (
    (126, 96, 68), (156, 130, 100), (96, 84, 76), (204, 200, 192), (72, 92, 76), (112, 114, 116),
    (150, 112, 96),
)  # fmt: skip
ROADS: tuple[Colour, ...] = (
    (92, 92, 94), (110, 108, 106), (76, 78, 82), (126, 122, 118), (104, 98, 94),
)  # fmt: skip
PAVING: tuple[Colour, ...] = (
    (146, 142, 136), (124, 122, 120), (164, 154, 140), (150, 122, 108), (112, 110, 110),
    (176, 172, 164),
)  # fmt: skip
GRASS: tuple[Colour, ...] = ((98, 112, 62), (118, 118, 72), (82, 98, 56), (130, 118, 84))


def pick(palette: tuple[Colour, ...], rng: np.random.Generator, spread: float = 10.0) -> Colour:
    """A palette colour, shifted a little in lightness and in each channel."""
    base = np.asarray(palette[int(rng.integers(len(palette)))])
    shifted = base + rng.normal(0, spread) + rng.normal(0, spread * 0.4, 3)
    red, green, blue = np.clip(shifted, 4, 250)
    return float(red), float(green), float(blue)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour with its brightness multiplied, kept in 0..255."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue
