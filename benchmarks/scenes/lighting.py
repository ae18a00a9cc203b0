"""Light, air and camera effects that the styles are put together from.

Pictures are float32 [H, W, 3], linear enough for the purpose, 1 being white.
"""

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes.canvas import Floats
from benchmarks.scenes.layout import Layout
from benchmarks.scenes.noise import noise_patch
from benchmarks.scenes.ontology import SKY


def tint(*rgb: float) -> Floats:
    """A colour of light as float32 [3]."""
    return np.array(rgb, np.float32)


def sky_picture(
    layout: Layout, horizon: Floats, zenith: Floats, cloud: Floats, cover: float,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """A gradient from the horizon up, with clouds over a share of it; float32 [H, W, 3]."""
    height, width = layout.label.shape
    up = np.clip(1 - np.arange(height) / max(layout.camera.horizon_y_px, 1), 0, 1)
    sky = horizon + up.astype(np.float32)[:, None, None] * (zenith - horizon)
    density = noise_patch("clouds", (height, width), rng) + np.float32(3 * cover - 1.5)
    share = np.clip(0.6 * density, 0, 1)[..., None]
    return np.asarray(sky + share * (cloud - sky), np.float32)


def lit(layout: Layout, ambient: Floats, sun: Floats) -> Floats:
    """Surfaces under a sky of colour `ambient` and a sun of colour `sun`."""
    light = layout.open_sky[..., None] * ambient + layout.sunlit[..., None] * sun
    return np.asarray(layout.albedo * light)


def with_sky(layout: Layout, surfaces: Floats, sky: Floats) -> Floats:
    """Surfaces before the sky."""
    return np.asarray(np.where((layout.label == SKY)[..., None], sky, surfaces))


def through_air(layout: Layout, picture: Floats, air: Floats, visibility_m: float) -> Floats:
    """Koschmieder's law: contrast falls as exp(-depth / visibility), air light takes its place."""
    clear = np.exp(-layout.depth_m / np.float32(visibility_m))[..., None]
    return np.asarray(picture * clear + air * (1 - clear))


def bloom(source: Floats, sigma_share: float) -> Floats:
    """A wide blur of bright spots, computed at a quarter of the size; sigma as share of the width.

    Keeps the sum of light.
    """
    height, width = source.shape[:2]
    small = cv2.resize(
        source, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), max(0.6, sigma_share * width / 4))
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def vignette(picture: Floats, strength: float) -> Floats:
    """Darken towards the corners by up to `strength`."""
    height, width = picture.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    return np.asarray(picture * (1 - np.float32(0.5 * strength) * (x + y))[..., None])


def blurred(picture: Floats, sigma_px: float) -> Floats:
    """Gaussian blur of the lens."""
    return cv2.GaussianBlur(picture, (0, 0), sigma_px).astype(np.float32, copy=False)


def shot_noise(picture: Floats, read: float, shot: float, rng: np.random.Generator) -> Floats:
    """Sensor noise of variance read^2 + shot^2 * signal."""
    sigma = np.sqrt(np.float32(read**2) + np.float32(shot**2) * np.clip(picture, 0, None))
    return np.asarray(picture + sigma * rng.standard_normal(picture.shape, dtype=np.float32))


def developed(picture: Floats) -> npt.NDArray[np.uint8]:
    """The finished 8-bit picture."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
