"""Photometric changes of an image, each drawn anew: other light, another sensor, other weather.

Nothing moves, so labels stay as they are. Only numpy and OpenCV.
"""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]

_GAMMA_OCTAVES: Final = 1.2
_GAIN_OCTAVES: Final = 1.0
_CHANNEL_OCTAVES: Final = 0.4
_MOST_NOISE: Final = 0.10
_MOST_BLUR: Final = 0.005  # of the longer side
_MOST_HAZE: Final = 0.6
_SHARE: Final = 0.5  # of the images that get noise, blur or haze


def restyled(image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """The image under gamma, gain, channel gains, and perhaps haze, blur and noise.

    Args:
        image: uint8 (H, W, 3) RGB; not changed.
        rng: draws the amounts.
    """
    values: Floats = image.astype(np.float32) / np.float32(255)
    values = values ** np.float32(2 ** rng.uniform(-_GAMMA_OCTAVES, _GAMMA_OCTAVES))
    gains = 2 ** (
        rng.uniform(-_GAIN_OCTAVES, _GAIN_OCTAVES / 2)
        + rng.uniform(-_CHANNEL_OCTAVES, _CHANNEL_OCTAVES, 3)
    )
    values *= gains.astype(np.float32)
    if rng.random() < _SHARE:
        values = _hazy(values, rng)
    if rng.random() < _SHARE:
        sigma_px = rng.uniform(0, _MOST_BLUR) * max(image.shape[:2])
        blurred: Any = cv2.GaussianBlur(values, (0, 0), max(sigma_px, 0.1))
        values = blurred.reshape(image.shape)
    if rng.random() < _SHARE:
        noise = rng.standard_normal(image.shape, np.float32)
        values += np.float32(rng.uniform(0, _MOST_NOISE)) * noise
    done: RgbImage = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return done


def _hazy(values: Floats, rng: np.random.Generator) -> Floats:
    """Mixed with a grey that grows towards the top of the image."""
    grey = np.float32(rng.uniform(0.5, 1.0))
    most = rng.uniform(0, _MOST_HAZE)
    share = np.linspace(most, most * rng.uniform(0, 1), len(values), dtype=np.float32)
    hazy: Floats = values * (1 - share[:, None, None]) + grey * share[:, None, None]
    return hazy
