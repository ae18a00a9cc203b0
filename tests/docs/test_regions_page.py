"""docs/regions.md: its command works, its tables name the settings that exist and their values."""

import json
import re
from pathlib import Path

import pytest

from api_schemas.pipelines import PipelineConfig
from api_schemas.region_stages import AggregateConfig, CorrectConfig, ProposalsConfig
from models.connectivity.pixel_votes import WEIGHT_OF_OTHERS
from models.connectivity.variants import VARIANT_SETTINGS
from models.connectivity.voting import OWN_VOTE
from models.promptable.base import ProposalConfig
from tests.docs.source_block import ROOT, facts_after

PAGE = (ROOT / "docs" / "regions.md").read_text()


def test_the_command_makes_a_version_with_a_classifier(tmp_path: Path) -> None:
    assert facts_after(PAGE, tmp_path)["has_connectivity"] is True


@pytest.mark.parametrize("config", [AggregateConfig, CorrectConfig, ProposalsConfig])
def test_every_setting_is_explained(config: type) -> None:
    for name in config.model_fields:  # type: ignore[attr-defined]
        assert f"`{name}`" in PAGE or f"`proposals.{name}`" in PAGE or name == "proposals", name


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (r"`keep_below` \| ([\d.]+)", CorrectConfig().keep_below),
        (r"`relabel_above` \| ([\d.]+)", CorrectConfig().relabel_above),
        (r"`least_class_regions` \| (\d+), 20", CorrectConfig().least_regions),
        (r"`least_class_regions` \| 2000, (\d+)", CorrectConfig().least_class_regions),
        (r"Ashman's D (\d)", CorrectConfig().least_separation),
        (r"\((\d+) for official SAMs\)", ProposalConfig().points_per_side),
        (r"\(([\d.]+) and 0.95 for official SAMs\)", ProposalConfig().least_iou),
        (r"\(0.88 and ([\d.]+) for official SAMs\)", ProposalConfig().least_stability),
        (r"\| > ([\d.]+) of labelled", VARIANT_SETTINGS["public-code"].least_share),
        (r"by probability with weight ([\d.]+)", WEIGHT_OF_OTHERS),
        (r"of its own, ([\d.]+) of a pure mask", OWN_VOTE),
        (r"area × ([\d.]+) \|", VARIANT_SETTINGS["paper"].box_factor),
        (r"offset of ([\d.]+)", VARIANT_SETTINGS["public-code"].box_factor),
    ],
)
def test_values_are_those_of_the_program(said: str, value: float) -> None:
    found = re.search(said, PAGE)
    assert found is not None
    assert float(found[1]) == value


def test_the_pipelines_of_the_page_are_valid() -> None:
    pipelines = re.findall(r"(\{\"select\": .*?\}\})[`']", PAGE)
    assert len(pipelines) == 2
    for text in pipelines:
        assert PipelineConfig.model_validate_json(text).aggregate is not None
    assert CorrectConfig().mode == re.search(r"`(\w+)` \(default\)", PAGE)[1]  # type: ignore[index]


def test_the_defaults_of_the_api_page_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    blocks = re.findall(r"```json\n(\{\"aggregate\".*?)```", page, re.DOTALL)
    said = json.loads(blocks[0])
    assert said["aggregate"] == AggregateConfig().model_dump(mode="json")
    assert said["correct"] == CorrectConfig().model_dump(mode="json")
