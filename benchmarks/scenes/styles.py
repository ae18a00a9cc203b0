"""The styles: each turns a layout into a picture and touches nothing but pixels.

`day` is the source. `night`, `fog` and `sensor` are the targets on which choices are made. `rain`
is held out: it is there to be reported, and nothing is to be chosen by looking at it.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes.canvas import HEADLIGHT, LAMP, TAIL_LIGHT, WINDOW, Floats
from benchmarks.scenes.layout import Layout
from benchmarks.scenes.lighting import (
    bloom,
    blurred,
    developed,
    lit,
    shot_noise,
    sky_picture,
    through_air,
    tint,
    vignette,
    with_sky,
)
from benchmarks.scenes.noise import noise_patch
from benchmarks.scenes.ontology import ROAD, SIDEWALK, SKY

Picture = npt.NDArray[np.uint8]
Style = Callable[[Layout, np.random.Generator], Picture]

_MOST_LAMPS = 8


def _daylight(layout: Layout, rng: np.random.Generator) -> Floats:
    """A clear, cloudy or low-sun day, before the camera."""
    kind = rng.random()
    if kind < 0.5:
        ambient, sun = tint(0.5, 0.54, 0.62), tint(0.82, 0.78, 0.7)
        horizon, zenith, cover = tint(0.8, 0.86, 0.92), tint(0.34, 0.52, 0.84), rng.uniform(0, 0.5)
    elif kind < 0.8:
        ambient, sun = tint(0.98, 1.0, 1.02), tint(0.14, 0.14, 0.13)
        horizon, zenith, cover = tint(0.82, 0.84, 0.86), tint(0.66, 0.7, 0.76), rng.uniform(0.5, 1)
    else:
        ambient, sun = tint(0.46, 0.46, 0.54), tint(0.98, 0.76, 0.5)
        horizon, zenith, cover = tint(0.96, 0.8, 0.62), tint(0.46, 0.56, 0.74), rng.uniform(0, 0.6)
    exposure = np.float32(rng.uniform(0.82, 1.2))
    balance = rng.uniform(0.94, 1.06, 3).astype(np.float32)
    white = tint(0.93, 0.93, 0.94)
    sky = sky_picture(layout, horizon, zenith, white, cover, rng)
    picture = through_air(layout, lit(layout, ambient, sun), horizon, rng.uniform(250, 900))
    return with_sky(layout, picture, sky) * exposure * balance


def _day(layout: Layout, rng: np.random.Generator) -> Picture:
    picture = vignette(_daylight(layout, rng), rng.uniform(0, 0.15))
    return developed(shot_noise(blurred(picture, rng.uniform(0.45, 0.7)), 0.006, 0.012, rng))


def _lamp_light(layout: Layout, rng: np.random.Generator) -> Floats:
    """Light of street lamps and of the own headlights at every pixel, float32 [H, W, 3]."""
    height, width = layout.label.shape
    x, y = layout.camera.world_positions(layout.depth_m)
    z = layout.depth_m
    sodium = rng.random() < 0.6
    colour = tint(1.0, 0.64, 0.28) if sodium else tint(0.86, 0.94, 1.0)
    lamps = np.zeros((height, width), np.float32)
    for lamp_x, lamp_y, lamp_z in layout.lamps_xyz[-_MOST_LAMPS:]:  # the nearest are last
        square = (x - lamp_x) ** 2 + (y - lamp_y) ** 2 + (z - lamp_z) ** 2
        lamps += np.float32(13.0) / (square + np.float32(6.0))
    beam = np.exp(-((x / (0.32 * z + 1.2)) ** 2) - ((y - 0.2) / (0.07 * z + 0.7)) ** 2)
    beam *= np.float32(rng.uniform(0.5, 1.1)) / (1 + (z / 13) ** 2)
    light = lamps[..., None] * colour + beam[..., None] * tint(1.0, 0.95, 0.82)
    return np.asarray(light * (layout.label != SKY)[..., None])


def _night_emission(layout: Layout, rng: np.random.Generator) -> Floats:
    height, width = layout.label.shape
    glow = np.zeros((height, width, 3), np.float32)
    share = rng.uniform(0.15, 0.45)
    on = (layout.light == WINDOW) & (layout.window_key <= 255 * share)
    warmth = (layout.window_key % 5).astype(np.float32) / 4
    panes = tint(0.85, 0.62, 0.34) + warmth[..., None] * tint(-0.15, 0.06, 0.3)
    glow[on] = panes[on]
    glow[layout.light == HEADLIGHT] = (2.6, 2.5, 2.2)
    glow[layout.light == TAIL_LIGHT] = (1.3, 0.1, 0.07)
    glow[layout.light == LAMP] = (2.4, 2.0, 1.3)
    return glow


def _night(layout: Layout, rng: np.random.Generator) -> Picture:
    moon = tint(0.05, 0.06, 0.09) * np.float32(rng.uniform(0.7, 1.7))
    light = layout.open_sky[..., None] * moon + _lamp_light(layout, rng)
    surfaces: Floats = np.asarray(layout.albedo * light, np.float32)
    haze = tint(0.06, 0.045, 0.035) * np.float32(rng.uniform(0.5, 2.0))
    sky = sky_picture(
        layout, haze, tint(0.012, 0.014, 0.03), haze * np.float32(1.4), rng.uniform(0, 1), rng
    )
    glow = _night_emission(layout, rng)
    picture = with_sky(layout, through_air(layout, surfaces, haze, 260), sky)
    picture = np.maximum(picture, glow)
    picture += 0.45 * bloom(glow, 0.012) + 0.3 * bloom(glow, 0.05)
    exposure = np.float32(rng.uniform(1.3, 2.1))
    picture = 1 - np.exp(-exposure * picture)  # highlights roll off instead of clipping
    picture = np.power(np.clip(picture, 0, 1), np.float32(0.8))
    return developed(shot_noise(blurred(picture, 0.8), 0.035, 0.11, rng))


def _fog(layout: Layout, rng: np.random.Generator) -> Picture:
    air = tint(0.7, 0.72, 0.74) * np.float32(rng.uniform(0.8, 1.15))
    visibility_m = float(np.exp(rng.uniform(np.log(15), np.log(40))))
    picture = lit(layout, tint(0.8, 0.82, 0.85), tint(0.04, 0.04, 0.04))
    picture = through_air(layout, picture, air, visibility_m)
    picture = with_sky(layout, picture, np.broadcast_to(air, picture.shape))
    drift = np.clip(0.5 + 0.3 * noise_patch("clouds", layout.label.shape, rng), 0, 1)
    share = (0.25 * drift * np.clip(layout.depth_m / 20, 0, 1))[..., None]
    picture = blurred(picture + share * (air - picture), rng.uniform(0.8, 1.2))
    return developed(shot_noise(picture, 0.034, 0.036, rng))


def _sensor(layout: Layout, rng: np.random.Generator) -> Picture:
    picture = np.clip(blurred(_daylight(layout, rng), rng.uniform(0.8, 1.2)), 0, 1)
    # A near-infrared sensor behind broken colour filters: channels leak and trade places.
    mix = np.array([[0.25, 0.15, 0.6], [0.55, 0.25, 0.2], [0.2, 0.75, 0.05]], np.float32)
    mix += rng.normal(0, 0.05, (3, 3)).astype(np.float32)
    picture = np.clip(picture @ mix.T, 0, 1)
    cast = tint(0.62, 1.0, 0.8) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    picture = vignette(np.power(picture, np.float32(1.25)) * cast, 0.6)
    height, width = layout.label.shape
    stripes = rng.normal(0, 0.02, (1, width, 1)) + rng.normal(0, 0.01, (height, 1, 1))
    picture = shot_noise(picture + stripes.astype(np.float32), 0.03, 0.065, rng)
    dead = rng.random((height, width), dtype=np.float32)
    picture[dead < 0.002], picture[dead > 0.998] = 0.0, 1.0
    return developed(picture)


def _rain(layout: Layout, rng: np.random.Generator) -> Picture:
    horizon, zenith = tint(0.6, 0.63, 0.66), tint(0.42, 0.45, 0.5)
    sky = sky_picture(layout, horizon, zenith, tint(0.36, 0.38, 0.42), rng.uniform(0.5, 1), rng)
    wet = np.isin(layout.label, (ROAD, SIDEWALK))
    surfaces = lit(layout, tint(0.6, 0.62, 0.66), tint(0.03, 0.03, 0.03))
    surfaces = np.where(wet[..., None], surfaces * np.float32(0.55), surfaces)
    dry = with_sky(layout, through_air(layout, surfaces, horizon, rng.uniform(50, 120)), sky)
    puddles = np.clip(0.55 + 0.3 * noise_patch("clouds", layout.label.shape, rng), 0.15, 0.9)
    picture = dry + (wet * puddles)[..., None] * (_mirrored(layout, dry, wet, rng) - dry)
    lights = np.isin(layout.light, (HEADLIGHT, TAIL_LIGHT))
    glow = np.where(lights[..., None], layout.albedo * 1.6, 0).astype(np.float32)
    picture = np.maximum(picture, glow) + 0.4 * bloom(glow, 0.02)
    picture = _drops_on_lens(blurred(picture, 0.7), rng)
    picture += 0.22 * _streaks(layout.label.shape, rng)[..., None]
    return developed(shot_noise(picture * np.float32(rng.uniform(0.75, 1.05)), 0.012, 0.03, rng))


def _mirrored(
    layout: Layout, picture: Floats, wet: npt.NDArray[np.bool_], rng: np.random.Generator
) -> Floats:
    """What a wet street mirrors: each column upside down about the place where ground begins."""
    height, width = wet.shape
    contact = np.where(wet.any(axis=0), wet.argmax(axis=0), height).astype(np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    ripple = 1.5 * noise_patch("leaves", (height, width), rng)
    source_y = np.clip(2 * contact[None, :] - rows + ripple, 0, height - 1)
    source_x = np.broadcast_to(np.arange(width, dtype=np.float32)[None, :], source_y.shape)
    image = cv2.remap(
        picture, np.ascontiguousarray(source_x + ripple), source_y.astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return cv2.GaussianBlur(image, (0, 0), sigmaX=0.8, sigmaY=0.012 * height).astype(np.float32)


def _drops_on_lens(picture: Floats, rng: np.random.Generator) -> Floats:
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(8, 24))):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(mask, center, int(rng.uniform(0.008, 0.03) * width), 1.0, -1)
    mask = blurred(mask, 1.2)[..., None]
    return picture + mask * (blurred(picture, 0.02 * width) * np.float32(1.06) - picture)


def _streaks(size_hw: tuple[int, int], rng: np.random.Generator) -> Floats:
    height, width = size_hw
    streaks = np.zeros(size_hw, np.float32)
    slant = rng.uniform(-0.15, 0.15)
    for _ in range(int(rng.integers(120, 320))):
        x, y = rng.uniform(0, width), rng.uniform(-0.05, 1) * height
        length = rng.uniform(0.02, 0.06) * height
        start, end = (int(x), int(y)), (int(x + slant * length), int(y + length))
        cv2.line(streaks, start, end, float(rng.uniform(0.3, 1.0)), 1)
    return cv2.GaussianBlur(streaks, (0, 0), 0.6).astype(np.float32)


# The number is part of the random stream of a style: never reuse or renumber one.
STYLES: dict[str, tuple[int, Style]] = {
    "day": (1, _day),
    "night": (2, _night),
    "fog": (3, _fog),
    "sensor": (4, _sensor),
    "rain": (5, _rain),
}
SOURCE_STYLE = "day"
TARGET_STYLES = ("night", "fog", "sensor")
HELD_OUT_STYLES = ("rain",)
