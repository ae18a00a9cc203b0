"""A pinhole camera over a flat street.

World axes in metres: X to the right, Y up from the ground, Z forward from the camera.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

NEAR_M = 1.2
"""Nothing nearer than this is drawn; polygons are cut here before projection."""


@dataclass(frozen=True)
class Camera:
    """Focal length, principal column and horizon row in pixels, height over ground in metres."""

    focal_px: float
    center_x_px: float
    horizon_y_px: float
    height_m: float
    size_hw: tuple[int, int]

    def project(self, points_xyz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """World points [N, 3] to pixel positions [N, 2] (x, y); Z is clamped to the near plane."""
        points = np.asarray(points_xyz, np.float64)
        scale = self.focal_px / np.maximum(points[:, 2], NEAR_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.center_x_px + points[:, 0] * scale
        pixels[:, 1] = self.horizon_y_px + (self.height_m - points[:, 1]) * scale
        return pixels

    def ground_xz(self) -> tuple[int, Floats, Floats]:
        """First image row below the horizon, and (X, Z) of the ground at each pixel from there.

        Both maps are float32 [H - first_row, W] in metres.
        """
        height, width = self.size_hw
        first_row = int(np.clip(np.floor(self.horizon_y_px) + 1, 0, height - 1))
        rows = np.arange(first_row, height, dtype=np.float32)[:, None] + np.float32(0.5)
        below = np.maximum(rows - np.float32(self.horizon_y_px), np.float32(0.25))
        z = np.float32(self.focal_px * self.height_m) / below
        columns = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
        x = (columns - np.float32(self.center_x_px)) * z / np.float32(self.focal_px)
        return first_row, x, np.broadcast_to(z, x.shape)

    def world_positions(self, depth_m: Floats) -> tuple[Floats, Floats]:
        """(X, Y) in metres of what each pixel shows, from its depth; float32 [H, W] each."""
        height, width = self.size_hw
        scale = depth_m / np.float32(self.focal_px)
        columns = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
        rows = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
        x = (columns - np.float32(self.center_x_px)) * scale
        y = np.float32(self.height_m) - (rows - np.float32(self.horizon_y_px)) * scale
        return x, y


def random_camera(size_hw: tuple[int, int], rng: np.random.Generator) -> Camera:
    """A camera at driver's height somewhere over the road, looking along it."""
    height, width = size_hw
    return Camera(
        focal_px=width * rng.uniform(0.85, 1.3),
        center_x_px=width * rng.uniform(0.36, 0.64),
        horizon_y_px=height * rng.uniform(0.38, 0.52),
        height_m=rng.uniform(1.25, 2.1),
        size_hw=size_hw,
    )
