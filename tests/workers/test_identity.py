"""Digests are promises: a change here makes every stored label unfindable."""

import dataclasses
from typing import Any

import pytest

from workers.identity import Recipe, canonical_digest

RECIPE = Recipe("p" * 64, "m" * 64, None, {"predict": 1, "select": 1}, "float32")
IMAGE = "a" * 64
GOLDEN_LABEL = "e4b12b004ccadf469cce0fc56826dd448a5b34fbf5c01266f486e2c6a2267dd5"
GOLDEN_LABEL_WITH_FIT = "42d615f78358173d4814b11eddb0aeda9d5a62b9e0e5d524d2238ccd1cad45e8"
GOLDEN_EVIDENCE = "5512b7c2bc7c19ae100bf0d8527863d99171e82a6992ba6ec69d076c14b796c3"


class TestRecipe:
    def test_golden(self) -> None:
        # sha256 of the JSON with sorted keys and no spaces, by coreutils
        assert RECIPE.label_digest(IMAGE) == GOLDEN_LABEL
        assert RECIPE.label_digest(IMAGE, "f" * 64) == GOLDEN_LABEL_WITH_FIT
        assert RECIPE.evidence_digest(IMAGE) == GOLDEN_EVIDENCE

    @pytest.mark.parametrize(
        "change",
        [
            {"pipeline_digest": "q" * 64},
            {"model_digest": "n" * 64},
            {"pilot_fit_digest": "f" * 64},
            {"algorithm_versions": {"predict": 2, "select": 1}},
            {"algorithm_versions": {"predict": 1}},
            {"precision": "bfloat16"},
        ],
    )
    def test_everything_counts(self, change: dict[str, Any]) -> None:
        other = dataclasses.replace(RECIPE, **change)
        assert other.label_digest(IMAGE) != RECIPE.label_digest(IMAGE)
        assert other.evidence_digest(IMAGE) != RECIPE.evidence_digest(IMAGE)

    def test_image_and_fit_count(self) -> None:
        digests = {
            RECIPE.label_digest(IMAGE),
            RECIPE.label_digest("b" * 64),
            RECIPE.label_digest(IMAGE, "f" * 64),
            RECIPE.evidence_digest(IMAGE),
        }
        assert len(digests) == 4


def test_canonical_digest_ignores_the_order_of_keys() -> None:
    assert canonical_digest({"b": [1, 2], "a": None}) == canonical_digest({"a": None, "b": [1, 2]})
