"""`python -m benchmarks.scenes`: write scenes as PNG files."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from benchmarks.scenes import SCENE_ONTOLOGY, SEED_RANGES, STYLES, Scene, generate_scene


def write_scenes(
    style: str,
    seeds: range,
    out: Path,
    labels: Path | None = None,
    instances: Path | None = None,
    size_hw: tuple[int, int] = (240, 320),
    progress: bool = True,
) -> list[Path]:
    """Write one `STYLE_SEED.png` a seed into `out`, and labels beside it where a folder is named.

    Labels are 8-bit palette PNGs of class ids, instances 16-bit grey PNGs (0 is stuff).

    Returns:
        The files of the images, in the order of the seeds.
    """
    for folder in (out, labels, instances):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    written = []
    for seed in track(seeds, description=f"{style} scenes", disable=not progress):
        scene = generate_scene(style, seed, size_hw)
        name = f"{style}_{seed:07d}.png"
        Image.fromarray(scene.image).save(out / name)
        if labels is not None:
            label_image(scene).save(labels / name)
        if instances is not None:
            Image.fromarray(scene.instances.astype(np.uint16)).save(instances / name)
        written.append(out / name)
    return written


def label_image(scene: Scene) -> Image.Image:
    """The label as a palette image in the colours of the ontology."""
    image = Image.fromarray(scene.label)  # grey; a palette turns it into mode P
    image.putpalette([channel for info in SCENE_ONTOLOGY.classes for channel in info.color])
    return image


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("--style", choices=list(STYLES), required=True)
    parser.add_argument("--count", type=int, default=24, help="number of scenes (24)")
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED_RANGES["test"].start,
        help="seed of the first scene; the others follow (first of the test range)",
    )
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("H", "W"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the images")
    parser.add_argument("--labels", type=Path, help="folder for the labels")
    parser.add_argument("--instances", type=Path, help="folder for the instance maps")
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + args.count)
    size_hw = (args.size[0], args.size[1])
    write_scenes(args.style, seeds, args.out, args.labels, args.instances, size_hw)


if __name__ == "__main__":
    main()
