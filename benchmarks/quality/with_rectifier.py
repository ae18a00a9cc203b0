"""Gives a source model the rectifier that the stage `rectify` uses.

    python -m benchmarks.quality.with_rectifier --scenes night --bundle MODEL --out FOLDER
    python -m benchmarks.quality.with_rectifier --data DIR --budget medium --out FOLDER

The labelled images are those of `benchmarks.quality.with_classifier`: of the source, and none that
the model was trained on. Nothing of the target is looked at. FOLDER is the model as a bundle with
the rectifier; a classifier of regions that it has is kept.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track

from benchmarks.quality.command_line import add_data_options, open_data, source_bundle
from benchmarks.quality.with_classifier import labelled_source
from models.bundle import read_bundle, write_bundle
from models.config import PredictConfig
from models.rectification.source_fit import fit_rectifier
from models.segmentation.bundled import BundledSegmenter

IMAGES = 60


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write the bundle."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.with_rectifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_options(parser)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"labelled images ({IMAGES})")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    options = parser.parse_args(arguments)
    data = open_data(options)
    bundle = read_bundle(source_bundle(options, data))
    labelled = track(list(labelled_source(data, options)), description="look at the source")
    model = BundledSegmenter(bundle, torch.device("cpu"))
    rectifier, figures = fit_rectifier(model, labelled, PredictConfig(), options.seed)
    write_bundle(
        options.out,
        bundle.module,
        bundle.ontology,
        {**bundle.provenance, "rectifier": figures},
        dtype=torch.float16,
        connectivity=bundle.connectivity,
        rectifier=rectifier,
    )
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
