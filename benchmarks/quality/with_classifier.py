"""Gives a source model the classifier of regions that `correct` uses.

It is fitted on labelled images of the source domain:

    python -m benchmarks.quality.with_classifier --scenes night --bundle MODEL --out FOLDER
    python -m benchmarks.quality.with_classifier --data DIR --budget medium --out FOLDER

The images are ones that the model was not trained on: fresh scenes of the source style, or
DIR/source_val. Nothing of the target is looked at. FOLDER is the model as a bundle with the
classifier, for `python -m benchmarks.quality --bundle FOLDER` or `selvage models add`; a rectifier
that it has is kept.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from benchmarks.quality.command_line import (
    DataSet,
    add_data_options,
    open_data,
    region_models,
    source_bundle,
)
from benchmarks.quality.stages import SEED_COVERAGE
from benchmarks.scenes import SOURCE_STYLE, generate_scene, split_seeds
from models.bundle import read_bundle, write_bundle
from models.config import PipelineConfig, SelectConfig
from models.connectivity.config import AggregateConfig
from models.connectivity.source_fit import Labelled, fit_connectivity
from models.promptable.builtin import load_built_in
from models.promptable.folder import load_region_model
from models.segmentation.bundled import BundledSegmenter

IMAGES = 60
# Far behind the scenes that models are trained on.
_FRESH_OFFSET = 600_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write the bundle."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.with_classifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_options(parser)
    parser.add_argument("--images", type=int, default=IMAGES, help=f"labelled images ({IMAGES})")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    options = parser.parse_args(arguments)
    data = open_data(options)
    bundle = read_bundle(source_bundle(options, data))
    ((name, folder),) = region_models(options).items()
    region_model = load_built_in(name) if folder is None else load_region_model(folder)
    labelled = track(list(labelled_source(data, options)), description="look at regions")
    config = PipelineConfig(
        select=SelectConfig(keep_fraction=SEED_COVERAGE, scope="image"),
        aggregate=AggregateConfig(),
    )
    model = BundledSegmenter(bundle, torch.device("cpu"))
    classifier, figures = fit_connectivity(model, region_model, labelled, config, options.seed)
    provenance = {**bundle.provenance, "connectivity": {"region_model": name, **figures}}
    write_bundle(
        options.out,
        bundle.module,
        bundle.ontology,
        provenance,
        dtype=torch.float16,
        connectivity=classifier,
        rectifier=bundle.rectifier,
    )
    print(json.dumps(figures, indent=1))


def labelled_source(data: DataSet, options: argparse.Namespace) -> Iterator[Labelled]:
    """Yield labelled images of the source that models are not trained on.

    Args:
        data: the data set.
        options: `scenes`, `size` of scenes, and `images`, the number at most.
    """
    if options.scenes is not None:
        for seed in split_seeds("fit", options.images, offset=_FRESH_OFFSET):
            height, width = options.size
            scene = generate_scene(SOURCE_STYLE, seed, (height, width))
            yield f"{seed}", scene.image, scene.label
        return
    validation = data.validation
    if validation is None:
        raise SystemExit(f"{data.folder} has no source_val; its images are what the fit looks at")
    for index in _spread(len(validation), options.images):
        image, label = validation[index]
        yield validation.images[index].stem, image, label


def _spread(total: int, count: int) -> npt.NDArray[np.int64]:
    """At most `count` of `total` places, evenly apart."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


if __name__ == "__main__":
    main()
