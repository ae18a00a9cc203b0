"""`python -m examples.pipeline_without_service`: the label path in a script of your own.

`models` needs no service, no queue and no database: a model, a configuration, arrays in, arrays
out. Selection looks at the whole set first (`pilot`), so the images are read twice.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.config import PipelineConfig, SelectConfig
from models.pipeline import LabelPipeline
from models.segmentation.loading import load_model
from models.selection import fit_thresholds


def read(path: Path) -> npt.NDArray[np.uint8]:
    """Return an image upright in RGB, uint8 (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def label_folder(
    images: Path, model_folder: Path, out: Path, *, keep_fraction: float, device: str = "cpu"
) -> Iterator[tuple[str, float, float | None]]:
    """Write a label and a confidence map for each image of a folder.

    Yields name, share of labelled pixels, and expected accuracy of them.
    """
    model = load_model(model_folder, device)
    config = PipelineConfig(select=SelectConfig(keep_fraction=keep_fraction))
    paths = sorted(p for p in images.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    pipeline = LabelPipeline(model, config)
    assert config.select is not None
    fit = fit_thresholds(pipeline.pilot(read(path) for path in paths), config.select)
    pipeline = LabelPipeline(model, config, fit)
    palette = [channel for one in model.ontology.classes for channel in one.color]
    palette += [0] * (768 - len(palette))  # with fewer colours Pillow would store 4 bits, not 255
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        (maps,) = pipeline.label([read(path)])
        label = Image.fromarray(maps.label, mode="P")
        label.putpalette(palette)
        label.save(out / f"{path.stem}.png")
        Image.fromarray(maps.confidence).save(out / f"{path.stem}.confidence.png")
        yield path.stem, maps.summary["coverage"], maps.summary["expected_accuracy"]


def main() -> None:
    """Parse the command line and label a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.pipeline_without_service", description=__doc__
    )
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("examples/demo_model"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep-fraction", type=float, default=0.5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    for name, coverage, accuracy in label_folder(
        given.images,
        given.model,
        given.out,
        keep_fraction=given.keep_fraction,
        device=given.device,
    ):
        expected = "–" if accuracy is None else f"{accuracy:.2f}"
        print(f"{name}  labelled {coverage:.0%}  expected accuracy {expected}")


if __name__ == "__main__":
    main()
