from pathlib import Path

import pytest

from benchmarks.quality.stages import (
    REGIONS,
    STAGES,
    Plan,
    needs_rectifier,
    region_pipeline,
)
from models.config import PipelineConfig


def test_every_pipeline_for_regions_starts_from_the_seed_and_is_valid():
    for name, stages in REGIONS.items():
        config = PipelineConfig.from_dict(region_pipeline(stages, "graph"))
        assert config.select is not None
        assert config.select.keep_fraction == 0.5
        assert config.aggregate is not None
        assert config.aggregate.region_model == "graph"
        assert (config.correct is not None) == ("scc" in name)


def test_each_region_model_has_its_own_rows():
    plan = Plan(("seed", "psa"), {"nano": None, "mine": Path("folder")})
    assert [stage.row for stage in plan.plain()] == ["predict"]
    found = list(plan.adapted({"nano": "nano", "mine": "mine:1"}))
    assert [stage.row for stage in found] == ["seed", "psa_nano", "psa_mine"]
    assert [stage.region_model for stage in found] == [None, "nano", "mine"]
    assert found[2].pipeline["aggregate"] == {"region_model": "mine:1"}


def test_only_known_stages_are_run():
    assert Plan(STAGES).looks_at_regions
    assert not Plan(("select", "seed")).looks_at_regions
    with pytest.raises(ValueError, match="'psa_sc' is no stage"):
        Plan(("psa_sc",))


def test_stages_that_rectify_are_known():
    found = [stage for stage in STAGES if needs_rectifier(stage)]
    assert found == ["rectify", "rectify_select", "rectify_psa_scc"]
