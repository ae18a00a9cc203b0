"""Strong changes of light, air and sensor for training on one domain and working on others.

None of them is a style of `benchmarks.scenes`: those stay unseen. What the styles have in common
with the real world (uneven light, low contrast, colour casts, noise) is drawn from wide ranges of
simple models.
"""

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.augmentation import AugmentationConfig, Image, recolour

WIDE = AugmentationConfig(
    brightness=0.25,
    contrast=0.5,
    saturation=0.8,
    channel_gain=0.35,
    gamma=1.2,
    grey_probability=0.1,
    blur_probability=0.3,
    blur_sigma_px=1.2,
    noise_sigma=0.06,
)
MILD = AugmentationConfig(brightness=0.1, contrast=0.2, channel_gain=0.1, gamma=0.3)

_CHANGE_PROBABILITY = 0.75
_FIELD_PROBABILITY = 0.4
_HAZE_PROBABILITY = 0.3
_MIX_PROBABILITY = 0.3


def strong_photometry(image: Image, rng: np.random.Generator) -> Image:
    """A recoloured copy, uint8 (H, W, 3) RGB; every fourth one only mildly so."""
    if rng.random() >= _CHANGE_PROBABILITY:
        return recolour(image, MILD, rng)
    x = image.astype(np.float32) * np.float32(1 / 255)
    if rng.random() < _MIX_PROBABILITY:
        x = x @ _channel_mix(rng)
    if rng.random() < _FIELD_PROBABILITY:
        strength = rng.uniform(0.3, 2.2)
        x = x * np.exp2(strength * (_smooth_field(x.shape, rng) - 0.5))
    if rng.random() < _HAZE_PROBABILITY:
        air = np.clip(rng.uniform(0.3, 0.95) + rng.normal(0, 0.04, 3), 0, 1).astype(np.float32)
        share = np.clip(rng.uniform(0, 0.85) + 0.5 * (_smooth_field(x.shape, rng) - 0.5), 0, 0.92)
        x = x * (1 - share) + air * share
    clipped = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
    return recolour(clipped, WIDE, rng)


def _channel_mix(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A random mixing of the colour channels whose columns sum to about one."""
    mix = np.eye(3) * rng.uniform(0.4, 1.0) + rng.dirichlet([1.0] * 3, 3).T * rng.uniform(0, 0.5)
    return (mix / mix.sum(0, keepdims=True)).astype(np.float32)


def _smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Smooth random values in about 0..1, float32 (H, W, 1)."""
    cells = int(rng.integers(2, 7))
    coarse = rng.random((cells, cells)).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)[..., None]
