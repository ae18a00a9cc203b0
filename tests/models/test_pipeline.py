import numpy as np
import pytest

from models.config import PipelineConfig, PredictConfig, SelectConfig
from models.errors import PilotMissing
from models.pipeline import LabelPipeline
from models.selection import PilotFit, fit_thresholds
from tests.models.fakes import ConvModel, RedModel


def reds(*values: int) -> np.ndarray:
    image = np.zeros((1, len(values), 3), dtype=np.uint8)
    image[0, :, 0] = values
    return image


def test_predict_alone_labels_every_pixel():
    (maps,) = LabelPipeline(RedModel(), PipelineConfig()).label([reds(0, 255, 102)])
    # Scores of class 1 are -5, 5 and -1: its rival has 0.9933, it has 0.9933, its rival 0.7311.
    assert maps.label.tolist() == [[0, 1, 0]]
    assert maps.confidence.tolist() == [[253, 253, 186]]
    assert maps.confidence.dtype == np.uint8
    assert maps.stages == {}
    assert maps.summary == {
        "size_hw": (1, 3),
        "coverage": 1.0,
        "expected_accuracy": pytest.approx((0.99331 * 2 + 0.73106) / 3, abs=1e-5),
        "class_pixels": {0: 2, 1: 1},
        "window_px": 1024,
    }


def test_fixed_thresholds_and_kept_stages():
    config = PipelineConfig(select=SelectConfig(thresholds=(0.99, 0.999)), keep_stages=True)
    (maps,) = LabelPipeline(RedModel(), config).label([reds(0, 255, 102)])
    assert maps.label.tolist() == [[0, 255, 255]]
    assert maps.confidence.tolist() == [[253, 0, 0]]
    assert {name: stage.tolist() for name, stage in maps.stages.items()} == {
        "predict": [[0, 1, 0]],
        "select": [[0, 255, 255]],
    }
    assert maps.summary["coverage"] == pytest.approx(1 / 3)
    assert maps.summary["class_pixels"] == {0: 1}


def test_nothing_kept():
    config = PipelineConfig(select=SelectConfig(thresholds=1.0))
    (maps,) = LabelPipeline(RedModel(), config).label([reds(0, 255)])
    assert maps.label.tolist() == [[255, 255]]
    assert maps.summary["coverage"] == 0
    assert maps.summary["expected_accuracy"] is None
    assert maps.summary["class_pixels"] == {}


def test_quantiles_of_each_image():
    config = PipelineConfig(select=SelectConfig("global", keep_fraction=0.5, scope="image"))
    first, second = LabelPipeline(RedModel(), config).label(
        [reds(0, 102, 100, 98), reds(255, 200, 140, 130)]
    )
    assert first.label.tolist() == [[0, 255, 255, 0]]
    assert second.label.tolist() == [[1, 1, 255, 255]]


def test_pilot_adds_up_in_any_order_and_its_fit_labels_the_set():
    select = SelectConfig(keep_fraction=0.5)
    config = PipelineConfig(select=select)
    pipeline = LabelPipeline(RedModel(), config)
    pictures = [reds(0, 100, 98), reds(255, 140, 130, 90)]
    histogram = pipeline.pilot(iter(pictures))
    assert (histogram.counts == pipeline.pilot(reversed(pictures)).counts).all()
    fit = fit_thresholds(histogram, select)
    assert fit.class_pixels == (4, 3)
    first, second = LabelPipeline(RedModel(), config, fit).label(pictures)
    # Half of the four pixels of class 0: reds 0 and 90. Half of three, rounded up: 255 and 140.
    assert first.label.tolist() == [[0, 255, 255]]
    assert second.label.tolist() == [[1, 1, 255, 0]]


def test_quantiles_of_a_set_need_a_pilot_fit():
    pipeline = LabelPipeline(RedModel(), PipelineConfig(select=SelectConfig()))
    with pytest.raises(PilotMissing, match="run pilot"):
        pipeline.label([reds(0)])


def test_a_fit_for_other_classes_is_refused():
    fit = PilotFit((0.5, 0.5, 0.5), "global", 0.5, (1, 1, 1))
    with pytest.raises(ValueError, match="3 thresholds, the model has 2 classes"):
        LabelPipeline(RedModel(), PipelineConfig(select=SelectConfig()), fit)


def test_results_come_in_the_order_of_the_images():
    random = np.random.default_rng(0)
    shapes = [(5, 6), (1, 1), (5, 6), (70, 3), (1, 1)]
    pictures = [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    pipeline = LabelPipeline(ConvModel(), PipelineConfig(PredictConfig(window_px=32)))
    maps = pipeline.label(pictures)
    assert [m.label.shape for m in maps] == shapes
    for image, together in zip(pictures, maps, strict=True):
        (alone,) = pipeline.label([image])
        assert alone.label.tobytes() == together.label.tobytes()
        assert alone.confidence.tobytes() == together.confidence.tobytes()


def test_no_images_give_no_labels():
    assert LabelPipeline(RedModel(), PipelineConfig()).label([]) == []
