"""One scene: a picture in a style with its exact labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.scenes.layout import build_layout
from benchmarks.scenes.seeds import style_rng
from benchmarks.scenes.styles import STYLES

LEAST_SIDE_PX = 32

Pair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Scene:
    """Image uint8 [H, W, 3] RGB, label uint8 [H, W], instances int32 [H, W] (0 is stuff)."""

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]


def generate_scene(style: str, seed: int, size_hw: tuple[int, int] = (240, 320)) -> Scene:
    """The scene of a seed in a style; label and instances are the same in every style.

    Args:
        style: `day`, `night`, `fog`, `sensor` or `rain`.
        seed: any integer >= 0; see `seeds.SEED_RANGES` for what each range is for.
        size_hw: height and width in pixels, at least 32 each.

    Raises:
        ValueError: unknown style or a size too small.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; there are {', '.join(STYLES)}")
    if min(size_hw) < LEAST_SIDE_PX:
        raise ValueError(f"a scene is at least {LEAST_SIDE_PX} pixels high and wide, not {size_hw}")
    code, render = STYLES[style]
    layout = build_layout(seed, size_hw)
    return Scene(render(layout, style_rng(code, seed)), layout.label, layout.instances)


class SceneDataset:
    """Scenes of one style as (image, label) pairs, generated on first use and then kept."""

    def __init__(
        self, style: str, seeds: Sequence[int], size_hw: tuple[int, int] = (240, 320)
    ) -> None:
        self.style, self.seeds, self.size_hw = style, seeds, size_hw
        self._kept: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Pair:
        seed = self.seeds[index]
        if seed not in self._kept:
            scene = generate_scene(self.style, seed, self.size_hw)
            self._kept[seed] = (scene.image, scene.label)
        return self._kept[seed]
