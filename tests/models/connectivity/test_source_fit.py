"""The classifier of regions fitted on labelled images in changed styles."""

from typing import Any

import numpy as np
import pytest

from models.config import PipelineConfig
from models.connectivity.classifier import Classifier
from models.connectivity.regions import Regions
from models.connectivity.source_fit import (
    SourceFitSettings,
    TooFewRegions,
    _true_classes,
    fit_connectivity,
)
from models.connectivity.style import restyled
from models.metrics.ranking import auroc_of_samples
from models.pipeline import LabelPipeline
from models.rle import Rle
from tests.models.fakes import RedModel

SETTINGS = SourceFitSettings(views=2, displaced_share=0.5)
PLAIN = PipelineConfig.from_dict({})


def picture(seed: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Nine squares on blue, red ones of class 1; yellow ones, of class 0, look to the model so."""
    rng = np.random.default_rng(seed)
    image = np.zeros((48, 48, 3), np.uint8)
    image[..., 2] = 200
    truth = np.zeros((48, 48), np.uint8)
    for number, is_yellow in enumerate(rng.random(9) < 1 / 3):
        y, x = divmod(number, 3)
        square = slice(16 * y + 2, 16 * y + 14), slice(16 * x + 2, 16 * x + 14)
        image[square] = (220, 255 * is_yellow, 0)
        truth[square] = not is_yellow
    return f"{seed:064x}", image, truth


def fitted(seeds: list[int], **more: Any) -> tuple[Classifier, dict[str, Any]]:
    labelled = [picture(seed) for seed in seeds]
    return fit_connectivity(RedModel(), None, labelled, PLAIN, settings=SETTINGS, **more)


class TestFitConnectivity:
    def test_it_sees_what_the_model_does_not(self) -> None:
        classifier, figures = fitted(list(range(64)))
        assert figures["images"] == 64
        assert figures["views"] == 128
        assert figures["regions"] > 100
        assert figures["displaced"] > 0
        assert figures["wrong_fraction"] > 0.05
        held_out = figures["held_out"]
        assert held_out is not None
        assert held_out["auroc"] > 0.8
        name, image, truth = picture(100)
        pipeline = LabelPipeline(RedModel(), PipelineConfig.from_dict({"correct": {}}))
        (prediction,) = pipeline.predict([image])
        regions = pipeline.evidence(prediction, image).regions
        true, _ = _true_classes(regions, truth, 0.5)
        scores = classifier.scores(regions.features, regions.classes, image=0)
        given = regions.classes.astype(int)
        own = classifier.probabilities(scores)[np.arange(len(regions)), given]
        assert auroc_of_samples(1 - own, regions.classes != true) == pytest.approx(1.0)

    def test_the_same_images_in_any_order_give_the_same(self) -> None:
        one, _ = fitted(list(range(8)), seed=3)
        other, _ = fitted(list(range(8)), seed=3)
        for name, tensor in one.tensors().items():
            np.testing.assert_array_equal(tensor, other.tensors()[name])

    def test_rows_are_bounded(self) -> None:
        labelled = [picture(seed) for seed in range(8)]
        few = SourceFitSettings(views=2, most_regions=60)
        _, figures = fit_connectivity(RedModel(), None, labelled, PLAIN, settings=few)
        assert figures["regions"] == 60

    @pytest.mark.parametrize("count", [0, 1])
    def test_too_few_images(self, count: int) -> None:
        with pytest.raises(TooFewRegions):
            fitted(list(range(count)))

    def test_nothing_annotated(self) -> None:
        labelled = [(n, i, np.full_like(t, 255)) for n, i, t in map(picture, range(4))]
        with pytest.raises(TooFewRegions, match="gave 0 regions"):
            fit_connectivity(RedModel(), None, labelled, PLAIN, settings=SETTINGS)


def test_true_class_by_majority_of_the_annotated_pixels() -> None:
    masks = np.zeros((3, 1, 12), bool)
    for index in range(3):
        masks[index, 0, 4 * index : 4 * index + 4] = True
    truth = np.array([[1, 1, 0, 255, 255, 255, 255, 2, 0, 1, 2, 3]], np.uint8)
    regions = Regions(
        size_hw=(1, 12),
        rles=[Rle.encode(mask) for mask in masks],
        boxes_xyxy=np.zeros((3, 4), np.int32),
        areas_px=np.full(3, 4, np.int64),
        classes=np.zeros(3, np.uint8),
        votes=np.zeros((3, 4), np.float32),
        quality=np.ones(3, np.float32),
        confidence=np.ones(3, np.float32),
    )
    true, annotated = _true_classes(regions, truth, 0.5)
    assert true.tolist() == [1, 2, 255]
    assert annotated.tolist() == [0.75, 0.25, 1.0]


def test_styles_are_drawn_and_move_nothing() -> None:
    _, image, _ = picture(0)
    before = image.copy()
    views = [restyled(image, np.random.default_rng(seed)) for seed in range(6)]
    np.testing.assert_array_equal(image, before)
    assert all(view.shape == image.shape and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 6
    again = restyled(image, np.random.default_rng(0))
    np.testing.assert_array_equal(views[0], again)
    grey = restyled(np.full((8, 8, 3), 128, np.uint8), np.random.default_rng(1))
    assert grey.std(axis=(0, 1)).max() < 40  # no structure is made where there was none
