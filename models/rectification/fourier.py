"""An image with the low frequencies of another: its light and colours, and its own shapes.

Yang and Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation", CVPR 2020, section 3.1.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]


def with_low_amplitudes_of(image: RgbImage, other: RgbImage, share: float) -> RgbImage:
    """The image with the amplitudes of another in its lowest frequencies; phases stay.

    Args:
        image: uint8 (H, W, 3) RGB; not changed.
        other: uint8, of any size.
        share: beta: frequencies up to this share of the shorter side are taken.

    Returns:
        uint8 (H, W, 3).
    """
    height, width = image.shape[:2]
    resized: Any = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
    own, lent = (np.fft.fft2(x.astype(np.float64), axes=(0, 1)) for x in (image, resized))
    reach = int(share * min(height, width))
    amplitude = np.abs(own)
    rows = np.r_[0 : reach + 1, height - reach : height]
    columns = np.r_[0 : reach + 1, width - reach : width]
    low = np.ix_(rows, columns)
    amplitude[low] = np.abs(lent[low])
    mixed = np.fft.ifft2(amplitude * np.exp(1j * np.angle(own)), axes=(0, 1)).real
    done: RgbImage = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return done
