"""Small images as files, made here, never read from disk."""

import io
import zipfile

import numpy as np
from PIL import Image


def image_array(seed: int = 0, height_px: int = 24, width_px: int = 32) -> np.ndarray:
    """A smooth coloured image that differs with every seed; uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width_px, height_px), Image.Resampling.BILINEAR)
    return np.asarray(image)


def png_bytes(seed: int = 0, height_px: int = 24, width_px: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_array(seed, height_px, width_px)).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg_bytes(seed: int = 0, height_px: int = 24, width_px: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_array(seed, height_px, width_px)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip of these files: the same bytes at any time of the day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
