"""Digests are promises: a change here makes every stored label unfindable."""

import dataclasses
from typing import Any

import pytest

from api_schemas.pipelines import PipelineConfig
from workers.identity import Recipe, canonical_digest, early_digest_of

RECIPE = Recipe("p" * 64, "e" * 64, "m" * 64, None, {"predict": 1, "select": 1}, "float32")
IMAGE = "a" * 64
GOLDEN_LABEL = "e4b12b004ccadf469cce0fc56826dd448a5b34fbf5c01266f486e2c6a2267dd5"
GOLDEN_LABEL_WITH_FIT = "42d615f78358173d4814b11eddb0aeda9d5a62b9e0e5d524d2238ccd1cad45e8"
GOLDEN_LABEL_OF_REGIONS = "e29ac13b23574304f12447fc6cac16033b84bd5e4c51dbe35a32dbf0271eb5d4"
GOLDEN_EVIDENCE = "79dd5d28ecaede234ca43f706c614afb9523ba3a0c3131e4030b2c79868128ec"


class TestRecipe:
    def test_golden(self) -> None:
        # sha256 of the JSON with sorted keys and no spaces, by coreutils
        assert RECIPE.label_digest(IMAGE) == GOLDEN_LABEL
        assert RECIPE.label_digest(IMAGE, "f" * 64) == GOLDEN_LABEL_WITH_FIT
        assert RECIPE.evidence_digest(IMAGE) == GOLDEN_EVIDENCE
        with_regions = dataclasses.replace(RECIPE, region_model_digest="r" * 64)
        assert with_regions.label_digest(IMAGE) == GOLDEN_LABEL_OF_REGIONS

    @pytest.mark.parametrize(
        "change",
        [
            {"model_digest": "n" * 64},
            {"pilot_fit_digest": "f" * 64},
            {"algorithm_versions": {"predict": 2, "select": 1}},
            {"algorithm_versions": {"predict": 1}},
            {"precision": "bfloat16"},
            {"region_model_digest": "r" * 64},
        ],
    )
    def test_everything_counts(self, change: dict[str, Any]) -> None:
        other = dataclasses.replace(RECIPE, **change)
        assert other.label_digest(IMAGE) != RECIPE.label_digest(IMAGE)
        assert other.evidence_digest(IMAGE) != RECIPE.evidence_digest(IMAGE)

    def test_labels_depend_on_the_whole_pipeline_and_evidence_on_its_early_stages(self) -> None:
        other = dataclasses.replace(RECIPE, pipeline_digest="q" * 64)
        assert other.label_digest(IMAGE) != RECIPE.label_digest(IMAGE)
        assert other.evidence_digest(IMAGE) == RECIPE.evidence_digest(IMAGE)
        early = dataclasses.replace(RECIPE, early_digest="q" * 64)
        assert early.label_digest(IMAGE) == RECIPE.label_digest(IMAGE)
        assert early.evidence_digest(IMAGE) != RECIPE.evidence_digest(IMAGE)

    def test_evidence_does_not_depend_on_the_version_of_correct(self) -> None:
        first, second = (
            dataclasses.replace(RECIPE, algorithm_versions={"predict": 1, "correct": version})
            for version in (1, 2)
        )
        assert first.evidence_digest(IMAGE) == second.evidence_digest(IMAGE)
        assert first.label_digest(IMAGE) != second.label_digest(IMAGE)

    def test_image_and_fit_count(self) -> None:
        digests = {
            RECIPE.label_digest(IMAGE),
            RECIPE.label_digest("b" * 64),
            RECIPE.label_digest(IMAGE, "f" * 64),
            RECIPE.evidence_digest(IMAGE),
        }
        assert len(digests) == 4


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"correct": {}}, False),
        ({"correct": {"keep_below": 0.5}}, False),
        ({"correct": {"features": ["votes"]}}, False),
        ({"seed": 7}, False),
        ({"pilot_images": 8}, False),
        ({"predict": {"flip": True}}, True),
        ({"rectify": {}}, True),
        ({"select": None}, True),
        ({"aggregate": {}}, True),
        ({"keep_stages": True}, True),
    ],
)
def test_what_the_early_digest_depends_on(change: dict[str, Any], counts: bool) -> None:
    plain, changed = PipelineConfig(), PipelineConfig.model_validate(change)
    assert (early_digest_of(changed) != early_digest_of(plain)) == counts


def test_canonical_digest_ignores_the_order_of_keys() -> None:
    assert canonical_digest({"b": [1, 2], "a": None}) == canonical_digest({"a": None, "b": [1, 2]})
