"""What judges the labels of the first teacher, fitted on labelled images of its source."""

from collections.abc import Iterator

from benchmarks.rounds.data import ImageSet
from models.config import PipelineConfig, PredictConfig, SelectConfig
from models.connectivity.config import AggregateConfig
from models.connectivity.source_fit import Labelled, fit_connectivity
from models.promptable.builtin import load_built_in
from models.rectification.source_fit import fit_rectifier
from models.segmentation.bundled import BundledSegmenter


def with_judges(
    model: BundledSegmenter, judging: ImageSet, seed: int, rectifier: bool, classifier: bool
) -> BundledSegmenter:
    """The model, changed in place, with what the jobs fit_rectifier and fit_connectivity fit.

    Args:
        model: the source model.
        judging: labelled source images that it was not trained on.
        seed: of the fits.
        rectifier: whether one is fitted.
        classifier: whether one of regions is.
    """
    if rectifier:
        model.rectifier, _ = fit_rectifier(model, _labelled(judging), PredictConfig(), seed)
    if classifier:
        config = PipelineConfig(
            select=SelectConfig(keep_fraction=0.5, scope="image"), aggregate=AggregateConfig()
        )
        graph = load_built_in("graph")
        model.connectivity, _ = fit_connectivity(model, graph, _labelled(judging), config, seed)
    return model


def _labelled(data: ImageSet) -> Iterator[Labelled]:
    return ((name, *data[index]) for index, name in enumerate(data.ids))
