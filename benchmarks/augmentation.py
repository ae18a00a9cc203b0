"""Training augmentation, drawn for every image on its own.

One draw for a whole batch would shift all images of the batch together, and BatchNorm would learn
running statistics of batches that no single image resembles; every function here therefore takes
one image and its own random generator.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

IGNORE_LABEL = 255
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Image = npt.NDArray[np.uint8]
Label = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes; a strength of 0 turns one off.

    Attributes:
        scale_range: least and largest zoom, drawn log-uniformly.
        flip_probability: chance of a left-right flip.
        brightness: largest shift, as a share of the full range.
        contrast: largest relative change around the image's mean.
        saturation: largest relative change of the distance from grey.
        channel_gain: largest relative change of one colour channel (a colour cast).
        gamma: largest |log2| of the exponent.
        grey_probability: chance that all colour is dropped.
        blur_probability: chance of a Gaussian blur with sigma up to `blur_sigma_px`.
        blur_sigma_px: largest blur, in pixels.
        noise_sigma: largest standard deviation of Gaussian noise, as a share of the full range.
    """

    scale_range: tuple[float, float] = (0.7, 1.6)
    flip_probability: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.4
    saturation: float = 0.5
    channel_gain: float = 0.15
    gamma: float = 0.4
    grey_probability: float = 0.05
    blur_probability: float = 0.2
    blur_sigma_px: float = 1.2
    noise_sigma: float = 0.03


def augment(
    image: Image,
    label: Label,
    crop_hw: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    """A randomly zoomed, cropped, flipped and recoloured copy of one image and its label.

    Args:
        image: uint8 [H, W, 3] RGB.
        label: uint8 [H, W].
        crop_hw: size of the result.
        config: ranges.
        rng: the generator of this one draw.

    Returns:
        Image uint8 [crop_h, crop_w, 3] and label uint8 [crop_h, crop_w]; the part of a crop that
        lies outside the image has label 255.
    """
    image, label = _zoom_and_crop(image, label, crop_hw, config, rng)
    if rng.random() < config.flip_probability:
        image, label = image[:, ::-1], label[:, ::-1]
    return recolour(image, config, rng), np.ascontiguousarray(label)


def _zoom_and_crop(
    image: Image,
    label: Label,
    crop_hw: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    low, high = np.log(config.scale_range)
    scale = float(np.exp(rng.uniform(low, high)))
    image_h, image_w = label.shape
    # Cut first and resize after: only the pixels of the crop are ever resampled.
    cut_h, cut_w = (max(1, round(side / scale)) for side in crop_hw)
    top = int(rng.integers(min(0, image_h - cut_h), max(0, image_h - cut_h) + 1))
    left = int(rng.integers(min(0, image_w - cut_w), max(0, image_w - cut_w) + 1))
    rows, columns = (
        slice(max(0, top), min(image_h, top + cut_h)),
        slice(max(0, left), min(image_w, left + cut_w)),
    )
    image, label = image[rows, columns], label[rows, columns]
    above, before = max(0, -top), max(0, -left)
    border = (
        (above, cut_h - label.shape[0] - above),
        (before, cut_w - label.shape[1] - before),
    )
    if label.shape != (cut_h, cut_w):
        image = np.pad(image, (*border, (0, 0)), mode="edge")
        label = np.pad(label, border, constant_values=IGNORE_LABEL)
    size_wh = (crop_hw[1], crop_hw[0])
    smooth = cv2.INTER_AREA if cut_h > crop_hw[0] else cv2.INTER_LINEAR
    resized = cv2.resize(image, size_wh, interpolation=smooth).astype(np.uint8, copy=False)
    nearest = cv2.resize(label, size_wh, interpolation=cv2.INTER_NEAREST)
    return resized, nearest.astype(np.uint8, copy=False)


def recolour(image: Image, config: AugmentationConfig, rng: np.random.Generator) -> Image:
    """The photometric part of `augment`: uint8 [H, W, 3] to uint8 [H, W, 3]."""
    x = image.astype(np.float32) * np.float32(1 / 255)
    if config.gamma:
        x = np.power(x, np.float32(2.0 ** rng.uniform(-config.gamma, config.gamma)))
    grey = (x @ _LUMA)[..., None]
    keep_colour = 1.0 + rng.uniform(-config.saturation, config.saturation)
    if rng.random() < config.grey_probability:
        keep_colour = 0.0
    x = grey + np.float32(keep_colour) * (x - grey)
    x *= (1.0 + rng.uniform(-config.channel_gain, config.channel_gain, 3)).astype(np.float32)
    contrast = 1.0 + rng.uniform(-config.contrast, config.contrast)
    shift = rng.uniform(-config.brightness, config.brightness)
    mean = float(x.mean())
    x = (x - np.float32(mean)) * np.float32(contrast) + np.float32(mean + shift)
    if rng.random() < config.blur_probability and config.blur_sigma_px:
        sigma_px = rng.uniform(0.2, config.blur_sigma_px)
        x = cv2.GaussianBlur(x, (0, 0), sigma_px).astype(np.float32, copy=False)
    if config.noise_sigma:
        sigma = np.float32(rng.uniform(0.0, config.noise_sigma))
        x = x + sigma * rng.standard_normal(x.shape, dtype=np.float32)
    return np.rint(np.clip(x, 0.0, 1.0) * 255).astype(np.uint8)
