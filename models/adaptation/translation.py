"""Source images in the style of target images: nothing moves, so labels stay as they are.

Fourier: Yang and Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation" (CVPR 2020),
equation 3. Colour statistics: Reinhard et al., "Color Transfer between Images" (2001), in RGB.

Images are float [B, 3, H, W], RGB in [0, 1]; source i takes the style of target i.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

ENGINES: Final = ("identity", "fourier", "colour", "both")
_LEAST_DEVIATION: Final = 1e-3


def translated(
    source: Tensor,
    target: Tensor,
    engine: str,
    window_share: float,
    places: Sequence[int] | None = None,
) -> Tensor:
    """Source images in the style of the target images, clipped to [0, 1]; without gradients.

    Args:
        source, target: float [B, 3, H, W] of one shape.
        engine: "identity", "fourier", "colour", or "both": images of even place by Fourier
            amplitude, the others by colour statistics.
        window_share: beta of `fourier_mixed`.
        places: of the images in the batch of all processes; 0 and up if None.

    Raises:
        ValueError: the engine is not known, or shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError("source and target images must have one shape")
    if engine not in ENGINES:
        raise ValueError(f"the engine must be one of {', '.join(ENGINES)}, not '{engine}'")
    with torch.no_grad():
        if engine == "identity":
            return source
        if engine == "fourier":
            return fourier_mixed(source, target, window_share).clamp(0, 1)
        by_colour = colour_matched(source, target).clamp(0, 1)
        if engine == "colour":
            return by_colour
        by_fourier = fourier_mixed(source, target, window_share).clamp(0, 1)
        even = [place % 2 == 0 for place in places or range(len(source))]
        chosen = torch.tensor(even, device=source.device)[:, None, None, None]
        return torch.where(chosen, by_fourier, by_colour)


def fourier_mixed(source: Tensor, target: Tensor, window_share: float) -> Tensor:
    """Source images with the low-frequency amplitudes of the target, not clipped.

    The phases stay the source's. Replaced are the frequencies at most b cycles an image from 0
    along both axes, b = floor(window_share * min(H, W)); a share of 0 replaces nothing.

    Args:
        source, target: float [B, C, H, W].
        window_share: beta, 0 to 0.5.

    Raises:
        ValueError: the share is out of bounds.
    """
    if not 0 <= window_share <= 0.5:
        raise ValueError("the share of the window must lie in 0..0.5")
    if window_share == 0:
        return source
    height, width = source.shape[-2:]
    half = int(window_share * min(height, width))
    of_source, of_target = torch.fft.rfft2(source), torch.fft.rfft2(target)
    # The half spectrum holds frequency 0 in its left column; its right columns are the highest.
    rows = torch.fft.fftfreq(height, 1 / height, device=source.device).abs() <= half
    columns = torch.arange(width // 2 + 1, device=source.device) <= half
    low = rows[:, None] & columns
    amplitude = torch.where(low, of_target.abs(), of_source.abs())
    mixed = torch.polar(amplitude, of_source.angle())
    # A frequency outside of the window is copied, not rebuilt from amplitude and phase.
    images: Tensor = torch.fft.irfft2(torch.where(low, mixed, of_source), s=(height, width))
    return images


def colour_matched(source: Tensor, target: Tensor) -> Tensor:
    """Source images with mean and deviation of each target channel, not clipped."""
    mean_s, mean_t = (x.mean((2, 3), keepdim=True) for x in (source, target))
    deviation_s, deviation_t = (x.std((2, 3), keepdim=True, correction=0) for x in (source, target))
    return (source - mean_s) * (deviation_t / deviation_s.clamp(min=_LEAST_DEVIATION)) + mean_t
