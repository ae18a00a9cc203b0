"""The wire's configuration and that of `models` say the same; neither may import the other."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api_schemas import pipelines, region_stages
from api_schemas.models import BUILT_IN_REGION_MODELS
from api_schemas.pipelines import STAGES, PipelineConfig, PredictConfig, SelectConfig
from models import config
from models.connectivity import config as regions
from models.errors import ConfigError
from models.promptable.builtin import BUILT_IN
from models.rectification.config import RectifyConfig
from workers.context import label_config

PAIRS = [
    (pipelines.RectifyConfig, RectifyConfig),
    (region_stages.ProposalsConfig, regions.ProposalsConfig),
    (region_stages.AggregateConfig, regions.AggregateConfig),
    (region_stages.CorrectConfig, regions.CorrectConfig),
]
AGGREGATE = {
    "region_model": "sam_vit_b:2",
    "variant": "paper",
    "start": "nothing",
    "least_share": 0.5,
    "least_coverage": 0,
    "align": "all",
    "prompt": "none",
    "proposals": {
        "mode": "exact",
        "points_per_side": 16,
        "least_iou": 0.5,
        "least_stability": 0.25,
    },
}
CORRECT = {
    "mode": "quantile",
    "fit": "model",
    "keep_below": 0.5,
    "relabel_above": 0.75,
    "class_balanced": True,
    "features": ["votes", "segmenter"],
    "quantile": 0.25,
    "least_regions": 10,
    "least_class_regions": 3,
    "least_separation": 1.5,
}


def test_stages_agree() -> None:
    assert STAGES == config.STAGES


def test_built_in_region_models_agree() -> None:
    assert BUILT_IN_REGION_MODELS == BUILT_IN


def test_every_default_arrives() -> None:
    assert label_config(PipelineConfig()) == config.PipelineConfig(
        predict=config.PredictConfig(), select=config.SelectConfig()
    )


def test_every_value_arrives() -> None:
    wire = PipelineConfig(
        predict=PredictConfig(flip=True, scales=(0.5, 2.0), window_px=256, overlap=0.5),
        rectify=pipelines.RectifyConfig(mode="coarse", band_px=3, relabel=False),
        select=SelectConfig(mode="global", keep_fraction=0.4, scope="image"),
        keep_stages=True,
    )
    assert label_config(wire) == config.PipelineConfig(
        predict=config.PredictConfig(flip=True, scales=(0.5, 2.0), window_px=256, overlap=0.5),
        rectify=RectifyConfig("coarse", 3, relabel=False),
        select=config.SelectConfig(mode="global", keep_fraction=0.4, scope="image"),
        keep_stages=True,
    )


@pytest.mark.parametrize(("wire", "own"), PAIRS)
def test_stages_agree_field_by_field(wire: type[BaseModel], own: type[Any]) -> None:
    assert list(wire.model_fields) == [f.name for f in fields(own)]


def test_defaults_agree() -> None:
    wire = PipelineConfig.model_validate({"rectify": {}, "aggregate": {}, "correct": {}})
    found = label_config(wire)
    assert found.rectify == RectifyConfig()
    assert (found.aggregate, found.correct) == (regions.AggregateConfig(), regions.CorrectConfig())


def test_every_value_of_regions_arrives() -> None:
    given = {"aggregate": AGGREGATE, "correct": CORRECT}
    assert set(AGGREGATE) == {f.name for f in fields(regions.AggregateConfig)}
    assert set(CORRECT) == {f.name for f in fields(regions.CorrectConfig)}
    defaults = {**regions.AggregateConfig().to_dict(), **regions.CorrectConfig().to_dict()}
    assert all(value != defaults[name] for name, value in {**AGGREGATE, **CORRECT}.items())
    found = label_config(PipelineConfig.model_validate(given))
    assert found.aggregate is not None
    assert found.correct is not None
    assert found.aggregate.to_dict() == AGGREGATE
    assert found.correct.to_dict() == CORRECT


@pytest.mark.parametrize(
    "given",
    [
        {"rectify": {"mode": "fast"}},
        {"rectify": {"band_px": 65}},
        {"rectify": {"relabel": "yes"}},
        {"rectify": {"x": 1}},
        {"aggregate": {"variant": "public"}},
        {"aggregate": {"start": "all"}},
        {"aggregate": {"region_model": ""}},
        {"aggregate": {"least_share": 1.1}},
        {"aggregate": {"least_coverage": -0.1}},
        {"aggregate": {"align": "things"}},
        {"aggregate": {"prompt": "stuff"}},
        {"aggregate": {"proposals": {"mode": "slow"}}},
        {"aggregate": {"proposals": {"points_per_side": 0}}},
        {"aggregate": {"proposals": {"least_iou": 2}}},
        {"aggregate": {"x": 1}},
        {"correct": {"mode": "counting"}},
        {"correct": {"fit": "source"}},
        {"correct": {"keep_below": 1.5}},
        {"correct": {"features": []}},
        {"correct": {"features": ["votes", "votes"]}},
        {"correct": {"features": ["colour"]}},
        {"correct": {"least_regions": -1}},
        {"correct": {"least_regions": True}},
        {"correct": {"least_separation": 101}},
    ],
)
def test_both_refuse_the_same(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PipelineConfig.model_validate(given)
    with pytest.raises(ConfigError):
        config.PipelineConfig.from_dict(given)


def test_a_region_model_is_named_as_a_model_is() -> None:
    for name in ("nano", "sam_vit_b", "sam_vit_b:2", "own-1.0@v3"):
        wire = region_stages.AggregateConfig(region_model=name)
        assert wire.region_model == name
    for name in ("Nano", "sam:", "sam:x", "a b", "../nano", "nano\n"):
        with pytest.raises(ValidationError):
            region_stages.AggregateConfig(region_model=name)
