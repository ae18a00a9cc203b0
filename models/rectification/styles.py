"""Styles under which a model errs on images that it would otherwise get right.

Stronger and more various than those that regions are fitted under: what is learnt about errors can
only be trusted in domains as hard as these. A style is a function of its generator alone, so the
same seed changes all images of a set alike. Nothing moves; labels stay as they are.
"""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]

_STRENGTHS: Final = (1.0, 1.8)
_GAMMA_OCTAVES: Final = 1.2
_GAIN_OCTAVES: Final = (-1.0, 0.5)
_CHANNEL_OCTAVES: Final = 0.4
_LIGHT_OCTAVES: Final = (0.3, 2.0)
_HAZE: Final = (0.1, 0.8)
_MOST_HAZE: Final = 0.9
_MOST_BLUR: Final = 0.008  # of the longer side
_MOST_NOISE: Final = 0.16
_SHARE: Final = 0.5  # of the styles with uneven light, with haze
_LARGE_SHARE: Final = 0.6  # with blur, with noise


def strongly_restyled(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """The image under another light, perhaps uneven, in haze, blurred, and with noise.

    Args:
        image: uint8 (H, W, 3) RGB; not changed.
        rng: draws the amounts.
    """
    strength = rng.uniform(*_STRENGTHS)
    values: Floats = image.astype(np.float32) / np.float32(255)
    gamma = 2 ** rng.uniform(-_GAMMA_OCTAVES * strength, _GAMMA_OCTAVES * strength)
    values = values ** np.float32(gamma)
    gain_octaves = rng.uniform(_GAIN_OCTAVES[0] * strength, _GAIN_OCTAVES[1] * strength)
    cast_octaves = rng.uniform(-_CHANNEL_OCTAVES * strength, _CHANNEL_OCTAVES * strength, 3)
    values *= (2 ** (gain_octaves + cast_octaves)).astype(np.float32)
    if rng.random() < _SHARE:
        octaves = rng.uniform(*_LIGHT_OCTAVES)
        values *= np.exp2(octaves * (_smooth_field(image.shape, rng) - np.float32(0.5)))
    if rng.random() < _SHARE:
        values = _hazy(values, rng)
    if rng.random() < _LARGE_SHARE:
        sigma_px = max(0.1, rng.uniform(0, _MOST_BLUR) * max(image.shape[:2]))
        blurred: Any = cv2.GaussianBlur(values, (0, 0), sigma_px)
        values = blurred.reshape(image.shape)
    if rng.random() < _LARGE_SHARE:
        amount = np.float32(rng.uniform(0, _MOST_NOISE))
        values = values + amount * rng.standard_normal(image.shape, np.float32)
    done: RgbImage = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return done


def _hazy(values: Floats, rng: np.random.Generator) -> Floats:
    air = np.clip(rng.uniform(0.3, 1) + rng.normal(0, 0.08, 3), 0, 1).astype(np.float32)
    unevenness = _smooth_field(values.shape, rng) - np.float32(0.5)
    share = np.clip(rng.uniform(*_HAZE) + 0.5 * unevenness, 0, _MOST_HAZE).astype(np.float32)
    hazy: Floats = values * (1 - share) + air * share
    return hazy


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Smooth random values in about 0..1, float32 (H, W, 1)."""
    cells = int(rng.integers(2, 6))
    coarse = rng.random((cells, cells)).astype(np.float32)
    field: Any = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)[..., None]
