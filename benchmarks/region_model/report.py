"""Scores of a network over generated scenes or a labelled folder, as one result and as a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from segment_anything.modeling import Sam

from benchmarks.machine import commit
from benchmarks.quality.folders import LabelledFolder
from benchmarks.region_model.scoring import LEAST_AREA_PX, ObjectScore, score_image, table_of
from benchmarks.scenes import GENERATOR_VERSION, generate_scene, split_seeds

_POINT_SEED = 0


def score_scenes(sam: Sam, styles: Sequence[str], split: str, count: int) -> dict[str, Any]:
    """The result over `count` generated scenes of each style, layouts and points the same in all.

    Args:
        sam: the network in evaluation mode.
        styles: of `benchmarks.scenes`.
        split: "choose" while choosing, "test" for figures to report.
        count: scenes a style.
    """
    scores: dict[str, list[ObjectScore]] = {}
    for style in styles:
        found = scores.setdefault(style, [])
        for seed in track(split_seeds(split, count), description=style, transient=True):
            scene = generate_scene(style, seed)
            source = scene.image, scene.label, scene.instances
            found += score_image(sam, source, np.random.default_rng([_POINT_SEED, seed]))
    facts = {"split": split, "scenes_a_style": count, "generator_version": GENERATOR_VERSION}
    return _result(sam, scores, facts)


def score_folder(sam: Sam, folder: LabelledFolder, count: int) -> dict[str, Any]:
    """The result over at most `count` images of a labelled folder, evenly thinned."""
    taken = min(count, len(folder))
    found: list[ObjectScore] = []
    for place in track(range(taken), description="score", transient=True):
        index = place * len(folder) // taken
        source = (*folder[index], None)
        found += score_image(sam, source, np.random.default_rng([_POINT_SEED, index]))
    return _result(sam, {"images": found}, {"images": taken})


def print_table(table: dict[str, dict[str, Any]], console: Console) -> None:
    """Mean IoU in percent; errors of the network's own estimate in points."""
    printed = Table("segments", title="mean IoU, percent", caption="error: |estimated - true IoU|")
    for heading in ("objects", "box", "point", "best of 3", "error box", "error point", "bias"):
        printed.add_column(heading, justify="right", no_wrap=True)
    for name, row in table.items():
        objects, *figures = row.values()
        printed.add_row(name, str(objects), *map(_percent, figures))
    console.print(printed)


def _result(sam: Sam, scores: dict[str, list[ObjectScore]], facts: dict[str, Any]) -> dict:
    return {
        **facts,
        "longest_side_px": sam.image_encoder.img_size,
        "least_area_px": LEAST_AREA_PX,
        "table": table_of(scores),
        "run": {"commit": commit()},
    }


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
