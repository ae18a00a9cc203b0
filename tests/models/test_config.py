import json

import pytest

from models.config import (
    ALGORITHM_VERSIONS,
    STAGES,
    PipelineConfig,
    PredictConfig,
    SelectConfig,
)
from models.errors import ConfigError
from models.rectification.config import RectifyConfig


def test_defaults_run_predict_alone():
    config = PipelineConfig.from_dict({})
    assert config == PipelineConfig(PredictConfig(), None, keep_stages=False)
    assert config.stages == ("predict",)
    assert config.algorithm_versions == {"predict": ALGORITHM_VERSIONS["predict"]}


def test_each_stage_has_a_version():
    assert tuple(ALGORITHM_VERSIONS) == STAGES


def test_round_trip_through_json():
    data = {
        "predict": {
            "flip": True,
            "scales": [0.5, 1.0],
            "window_px": 512,
            "overlap": 0.1,
            "batch_size": 4,
            "precision": "bfloat16",
        },
        "rectify": {"mode": "coarse", "band_px": 3, "relabel": False, "edges": "bilinear"},
        "select": {
            "mode": "global",
            "keep_fraction": 0.5,
            "thresholds": [0.5, 0.25],
            "scope": "image",
        },
        "aggregate": {
            "region_model": "graph",
            "variant": "paper",
            "start": "nothing",
            "least_share": 0.5,
            "least_coverage": 0.25,
            "align": "all",
            "prompt": "none",
            "proposals": {
                "mode": "exact",
                "points_per_side": 16,
                "least_iou": 0.5,
                "least_stability": 0.75,
            },
        },
        "correct": {
            "mode": "quantile",
            "fit": "model",
            "keep_below": 0.5,
            "relabel_above": 0.75,
            "class_balanced": True,
            "features": ["segmenter"],
            "quantile": 0.25,
            "least_regions": 10,
            "least_class_regions": 2,
            "least_separation": 1.0,
        },
        "keep_stages": True,
    }
    config = PipelineConfig.from_dict(data)
    assert json.loads(json.dumps(config.to_dict())) == data
    assert PipelineConfig.from_dict(config.to_dict()) == config
    assert config.select == SelectConfig("global", 0.5, (0.5, 0.25), "image")
    assert config.rectify == RectifyConfig("coarse", 3, relabel=False, edges="bilinear")
    assert config.stages == STAGES
    assert PipelineConfig.from_dict(PipelineConfig().to_dict()) == PipelineConfig()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], ""),
        ({"smooth": {}}, "smooth"),
        ({"keep_stages": 1}, "keep_stages"),
        ({"predict": []}, "predict"),
        ({"predict": {"flop": True}}, "predict.flop"),
        ({"predict": {"flip": "yes"}}, "predict.flip"),
        ({"predict": {"scales": []}}, "predict.scales"),
        ({"predict": {"scales": [1, "2"]}}, "predict.scales"),
        ({"predict": {"scales": [0]}}, "predict.scales"),
        ({"predict": {"scales": 1}}, "predict.scales"),
        ({"predict": {"window_px": 31}}, "predict.window_px"),
        ({"predict": {"window_px": 512.0}}, "predict.window_px"),
        ({"predict": {"overlap": 0.6}}, "predict.overlap"),
        ({"predict": {"overlap": float("nan")}}, "predict.overlap"),
        ({"predict": {"batch_size": 0}}, "predict.batch_size"),
        ({"predict": {"batch_size": True}}, "predict.batch_size"),
        ({"predict": {"precision": "float16"}}, "predict.precision"),
        ({"rectify": True}, "rectify"),
        ({"rectify": {"mode": "fast"}}, "rectify.mode"),
        ({"rectify": {"band_px": 0}}, "rectify.band_px"),
        ({"rectify": {"relabel": 1}}, "rectify.relabel"),
        ({"rectify": {"bandpx": 3}}, "rectify.bandpx"),
        ({"select": 0.7}, "select"),
        ({"select": {"mode": "best"}}, "select.mode"),
        ({"select": {"keep_fraction": 0}}, "select.keep_fraction"),
        ({"select": {"keep_fraction": 1.01}}, "select.keep_fraction"),
        ({"select": {"thresholds": []}}, "select.thresholds"),
        ({"select": {"thresholds": 2}}, "select.thresholds"),
        ({"select": {"thresholds": [0.5, "a"]}}, "select.thresholds"),
        ({"select": {"scope": "job"}}, "select.scope"),
        ({"aggregate": {"align": "things"}}, "aggregate.align"),
        ({"aggregate": {"prompt": True}}, "aggregate.prompt"),
        ({"aggregate": {"least_share": 1.5}}, "aggregate.least_share"),
        ({"aggregate": {"start": "all"}}, "aggregate.start"),
        ({"aggregate": {"proposals": {"mode": "slow"}}}, "aggregate.proposals.mode"),
    ],
)
def test_invalid_values_are_refused_with_their_place(data, path):
    with pytest.raises(ConfigError) as caught:
        PipelineConfig.from_dict(data)
    assert caught.value.path == path


def test_when_a_pilot_is_needed():
    assert SelectConfig().needs_pilot
    assert not SelectConfig(scope="image").needs_pilot
    assert not SelectConfig(thresholds=0.9).needs_pilot
