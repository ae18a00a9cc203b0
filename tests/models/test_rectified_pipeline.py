"""The label path with the stage `rectify`, which is a stand-in here."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models import pipeline as module
from models.config import PipelineConfig, SelectConfig
from models.connectivity.config import AggregateConfig, CorrectConfig
from models.connectivity.evidence import pack_evidence, unpack_evidence
from models.errors import ModelRefused
from models.pipeline import LabelPipeline
from models.prediction import Prediction, RgbImage
from models.rectification.config import RectifyConfig
from models.region_label import finish_label
from models.selection import fit_thresholds
from tests.models.connectivity.fakes import DrawnRegionModel, masks_of
from tests.models.fakes import RedModel

# The model is sure of 0 above and of 1 below; the third column is 0 with 0.667, the last 1.
REDS = np.array([[0, 0, 110, 140], [255, 255, 110, 140]], np.uint8)
BEFORE = [[0, 0, 0, 1], [1, 1, 0, 1]]
AFTER = [[0, 0, 1, 1], [1, 1, 1, 1]]
RECTIFY = RectifyConfig(band_px=3)


def picture() -> RgbImage:
    image = np.zeros((2, 4, 3), np.uint8)
    image[..., 0] = REDS
    return image


def stand_in(prediction: Prediction, rectifier: Any, config: RectifyConfig) -> Prediction:
    """All but the first two pixels are 1; r falls from left to right."""
    assert prediction.detail is not None
    assert config == RECTIFY
    label = np.array(AFTER, np.uint8)
    r = np.broadcast_to(np.array([0.9, 0.8, 0.7, 0.6], np.float32), label.shape).copy()
    return replace(prediction, label=label, p_max=r, predicted=prediction.label)


def failing(prediction: Prediction, rectifier: Any, config: RectifyConfig) -> Prediction:
    raise ValueError("the features are not finite")


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "rectify", stand_in)


def model(calibrated: bool = True) -> Any:
    found: Any = RedModel()
    found.rectifier = SimpleNamespace(
        calibrated=calibrated,
        check_fits=lambda model: None,
        on=lambda device: found.rectifier,
    )
    return found


def path(rectifier_calibrated: bool = True, **more: Any) -> LabelPipeline:
    config = PipelineConfig(rectify=RECTIFY, **more)
    region_model = DrawnRegionModel(masks_of([np.array([[1, 1, 0, 0], [0, 0, 0, 0]])], [0.9]))
    return LabelPipeline(model(rectifier_calibrated), config, region_model=region_model)


def test_class_and_confidence_are_the_rectified_ones() -> None:
    (maps,) = path().label([picture()])
    assert maps.label.tolist() == AFTER
    assert maps.confidence.tolist() == [np.rint(np.array([0.9, 0.8, 0.7, 0.6]) * 255).tolist()] * 2
    assert maps.summary["rectified"] == {"changed_fraction": 0.25, "calibrated": True}
    assert maps.summary["expected_accuracy"] == pytest.approx(0.75)
    assert maps.calibrated


def test_a_rectifier_without_labels_gives_a_ranking() -> None:
    (maps,) = path(rectifier_calibrated=False).label([picture()])
    assert maps.summary["rectified"]["calibrated"] is False
    assert not maps.calibrated


def test_stages_show_the_map_before_and_after() -> None:
    found = path(select=SelectConfig(thresholds=0.75), keep_stages=True)
    (maps,) = found.label([picture()])
    assert {name: stage.tolist() for name, stage in maps.stages.items()} == {
        "predict": BEFORE,
        "rectify": AFTER,
        "select": [[0, 0, 255, 255], [1, 1, 255, 255]],
    }
    assert list(maps.stages) == ["predict", "rectify", "select"]
    assert maps.label.tolist() == maps.stages["select"].tolist()


def test_quantiles_are_those_of_r() -> None:
    select = SelectConfig("global", keep_fraction=0.5)
    histogram = path(select=select).pilot([picture()])
    fit = fit_thresholds(histogram, select)
    assert fit.thresholds == pytest.approx((0.8, 0.8), abs=0.01)
    assert histogram.counts.sum(axis=1).tolist() == [2, 6]


def test_detail_is_dropped_where_nobody_looks_at_it_any_more() -> None:
    plain, corrected = path(), path(correct=CorrectConfig(fit="model"))
    assert plain.predict([picture()])[0].detail is None
    (prediction,) = corrected.predict([picture()])
    assert prediction.detail is not None
    assert prediction.predicted is not None
    maps = prediction.label.nbytes + prediction.p_max.nbytes + prediction.predicted.nbytes
    assert prediction.nbytes == maps + prediction.detail.nbytes
    assert corrected.look([picture()])[0].predicted is None


@pytest.mark.parametrize("keep_stages", [False, True])
def test_confidence_of_regions_is_made_of_r(keep_stages: bool) -> None:
    found = path(aggregate=AggregateConfig(), keep_stages=keep_stages)
    (prediction,) = found.predict([picture()])
    evidence = unpack_evidence(pack_evidence(found.evidence(prediction, picture())))
    maps = finish_label(evidence, None, "any", keep_stages)
    assert maps.label.tolist() == AFTER
    # A region of one class alone has all votes: c is between that and r, so it falls with r.
    assert maps.confidence[1].tolist() == sorted(maps.confidence[1].tolist(), reverse=True)
    assert len(set(maps.confidence[1].tolist())) == 4
    assert maps.summary["rectified"] == {"changed_fraction": 0.25, "calibrated": True}
    assert not maps.calibrated  # the formula that combines r and votes is not
    expected = ["predict", "rectify", "aggregate"] if keep_stages else []
    assert list(maps.stages) == expected
    if keep_stages:
        assert maps.stages["predict"].tolist() == BEFORE


@pytest.mark.parametrize("aggregate", [None, AggregateConfig()])
def test_an_image_on_which_it_fails_keeps_its_prediction(
    monkeypatch: pytest.MonkeyPatch, aggregate: AggregateConfig | None
) -> None:
    monkeypatch.setattr(module, "rectify", failing)
    (maps,) = path(aggregate=aggregate, keep_stages=True).label([picture()])
    assert maps.label.tolist() == BEFORE
    assert maps.stages["rectify"].tolist() == BEFORE
    assert maps.summary["notes"] == ["rectify was left out: the features are not finite"]
    assert maps.summary["rectified"] == {"changed_fraction": 0.0, "calibrated": False}
    assert not maps.calibrated


def test_a_model_without_a_rectifier_is_refused() -> None:
    with pytest.raises(ModelRefused) as caught:
        LabelPipeline(RedModel(), PipelineConfig(rectify=RECTIFY))
    assert caught.value.code == "rectifier-missing"
    assert "fit_rectifier" in caught.value.remedy


def test_without_the_stage_a_rectifier_changes_nothing() -> None:
    (with_one,) = LabelPipeline(model(), PipelineConfig()).label([picture()])
    (without,) = LabelPipeline(RedModel(), PipelineConfig()).label([picture()])
    assert with_one.label.tolist() == without.label.tolist() == BEFORE
    assert with_one.confidence.tobytes() == without.confidence.tobytes()
    assert with_one.summary == without.summary


def test_pixels_not_kept_vote_in_masks_by_the_rectified_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixed = np.array([[[0.25]], [[0.75]]], np.float16)

    def mixing(prediction: Prediction, rectifier: Any, config: RectifyConfig) -> Prediction:
        return replace(stand_in(prediction, rectifier, config), mixed=mixed)

    seen = []

    def aggregate(kept: Any, *rest: Any) -> Any:
        seen.append(rest[-1].features.tolist())
        return module._without_masks(kept)

    monkeypatch.setattr(module, "rectify", mixing)
    monkeypatch.setattr(module, "aggregate", aggregate)
    found = path(aggregate=AggregateConfig())
    (prediction,) = found.predict([picture()])
    grown = found.grow(prediction, picture())
    assert seen == [mixed.tolist()]
    # The classifier of regions goes on reading the segmenter's own.
    assert grown.pixels.probabilities is not None
    assert prediction.detail is not None
    assert grown.pixels.probabilities.features.tolist() == prediction.detail.probabilities.tolist()
    assert path().predict([picture()])[0].mixed is None  # nobody would look at it


@pytest.mark.parametrize("rectified", [True, False])
def test_the_segmenter_is_asked_as_often_as_without_the_stage(
    rectified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    found = model()
    forward = found.forward

    def counting(images: Any) -> Any:
        asked.append(len(images))
        return forward(images)

    monkeypatch.setattr(found, "forward", counting)
    config = PipelineConfig(rectify=RECTIFY if rectified else None)
    LabelPipeline(found, config).label([picture(), picture()])
    assert asked == [1, 1]
