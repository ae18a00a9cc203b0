"""Painter's canvas: one map of region numbers, and what each region is.

Every shape is rasterised once, into the region map; label, instance, depth and colour all follow
from that map by table look-up, so they cannot disagree about a single pixel.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.scenes.camera import NEAR_M, Camera
from benchmarks.scenes.ontology import SKY

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

SKY_DEPTH_M = 600.0
NO_LIGHT, WINDOW, HEADLIGHT, TAIL_LIGHT, LAMP = range(5)
"""Kinds of light that a region gives off in the dark."""

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Paint:
    """What a region is: class, instance (0 for stuff), RGB in 0..255, grain, light, sun share.

    `grain` is the relative strength of the random texture; `textured` regions take colour and
    depth per pixel from the canvas instead; shadows fall on `ground` regions.
    """

    class_id: int
    colour: Colour
    instance: int = 0
    grain: float = 0.06
    light: int = NO_LIGHT
    sunlit: float = 1.0
    textured: bool = False
    ground: bool = False


@dataclass
class Canvas:
    """The growing picture; see the module docstring."""

    camera: Camera
    region: npt.NDArray[np.int32] = field(init=False)
    texture: Bytes = field(init=False)
    window: Bytes = field(init=False)
    plane_depth_m: Floats = field(init=False)
    ground_sun: Bytes = field(init=False)
    ground_open: Bytes = field(init=False)
    paints: list[Paint] = field(default_factory=list)
    depths_m: list[float] = field(default_factory=list)
    lamps_xyz: list[tuple[float, float, float]] = field(default_factory=list)
    instance_count: int = 0

    def __post_init__(self) -> None:
        size_hw = self.camera.size_hw
        self.region = np.zeros(size_hw, np.int32)
        self.texture = np.zeros((*size_hw, 3), np.uint8)
        self.window = np.zeros(size_hw, np.uint8)
        self.plane_depth_m = np.full(size_hw, SKY_DEPTH_M, np.float32)
        self.ground_sun = np.full(size_hw, 255, np.uint8)
        self.ground_open = np.full(size_hw, 255, np.uint8)
        self.add_region(Paint(SKY, (128, 160, 200), grain=0.0), SKY_DEPTH_M)

    def add_region(self, paint: Paint, depth_m: float) -> int:
        """Register a region and return its number."""
        self.paints.append(paint)
        self.depths_m.append(depth_m)
        return len(self.paints) - 1

    def new_instance(self) -> int:
        """The next instance number, from 1 up."""
        self.instance_count += 1
        return self.instance_count

    def polygon(self, points_px: npt.ArrayLike, paint: Paint, depth_m: float) -> None:
        """Fill a polygon given in pixels [N, 2] (x, y)."""
        number = self.add_region(paint, depth_m)
        cv2.fillPoly(
            self.region, [to_fixed(points_px)], number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS
        )

    def world_polygon(self, points_xyz: npt.ArrayLike, paint: Paint) -> None:
        """Fill a flat polygon given in metres [N, 3]; unseen when wholly before the near plane."""
        points = np.asarray(points_xyz, np.float64)
        if points[:, 2].max() <= NEAR_M:
            return
        self.polygon(self.camera.project(points), paint, float(points[:, 2].mean()))

    def wall(self, corners_xyz: npt.ArrayLike, texture: Bytes, window: Bytes, paint: Paint) -> None:
        """Map a picture onto a flat quad.

        Args:
            corners_xyz: [4, 3] metres: bottom-near, bottom-far, top-far, top-near, where the
                picture's left edge is near and its right edge far.
            texture: uint8 [h, w, 3].
            window: uint8 [h, w]; 0 for wall, else the random key of a window.
            paint: a textured paint.
        """
        corners = np.asarray(corners_xyz, np.float64)
        quad = self.camera.project(corners)
        height, width = self.camera.size_hw
        left, top = np.clip(np.floor(quad.min(axis=0)), 0, [width, height]).astype(int)
        right, bottom = np.clip(np.ceil(quad.max(axis=0)) + 1, 0, [width, height]).astype(int)
        if right <= left or bottom <= top:
            return
        h, w = window.shape
        source = np.array([[0, h], [w, h], [w, 0], [0, 0]], np.float32)
        target = (quad - [left, top]).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        size_wh = (int(right - left), int(bottom - top))
        colour = cv2.warpPerspective(
            texture, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        keys = cv2.warpPerspective(window, matrix, size_wh, flags=cv2.INTER_NEAREST)
        mask = np.zeros((size_wh[1], size_wh[0]), np.uint8)
        cv2.fillPoly(mask, [to_fixed(target)], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        inside = mask.astype(bool)
        box = (slice(top, bottom), slice(left, right))
        number = self.add_region(paint, float(corners[:, 2].mean()))
        self.region[box][inside] = number
        self.texture[box][inside] = colour[inside]
        self.window[box][inside] = keys[inside]
        self.plane_depth_m[box][inside] = self._wall_depth(corners, left, right, inside)

    def _wall_depth(
        self, corners: npt.NDArray[np.float64], left: int, right: int, inside: npt.NDArray[np.bool_]
    ) -> Floats:
        near, far = corners[0], corners[1]
        if abs(far[0] - near[0]) > 1e-6:  # a wall across the view has one depth
            return np.full(int(inside.sum()), near[2], np.float32)
        columns = np.arange(left, right, dtype=np.float64) + 0.5 - self.camera.center_x_px
        columns = np.where(np.abs(columns) < 0.5, 0.5, np.abs(columns))
        depth = self.camera.focal_px * abs(near[0]) / columns
        depth = np.clip(depth, max(near[2], NEAR_M), far[2]).astype(np.float32)
        return np.broadcast_to(depth, inside.shape)[inside]


def to_fixed(points_px: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Pixel positions as the fixed-point integers that OpenCV's drawing functions take."""
    points = np.minimum(np.maximum(np.asarray(points_px, np.float64), -20_000), 20_000)
    # Pixel centres lie at .5 here and at whole numbers in OpenCV.
    return np.rint((points - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
