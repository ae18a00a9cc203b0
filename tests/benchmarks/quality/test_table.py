from typing import Any

import pytest

from benchmarks.quality.table import cell, tables
from models.metrics.quality import FIGURES


def stage(value: float, rival: float | None = None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(FIGURES, value)
    row["gain"] = {"miou_full": {"value": value - (rival or 0), "interval": [0, 1]}}
    if rival is not None:
        row["rival"] = dict.fromkeys(FIGURES, rival)
    return row


def result(seed: int, value: float, **more: Any) -> dict[str, Any]:
    psa = stage(value, value - 0.1)
    psa["regions"] = {"wrong": 0.25, "auroc": {"posterior": {"value": value}}}
    return {
        "data": "tiny",
        "budget": "small",
        "seed": seed,
        "labels": {"predict": stage(0.5, 0.5), "psa_nano": psa, "psa_nano_filled": stage(0.75)},
        "models": {"source": {"target": {"miou": value}}},
        **more,
    }


def rows(text: str) -> dict[str, list[str]]:
    """{first cell: the others}; of equal first cells the last."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in lines}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5], "50.0 (n 1)"),
        ([0.5, None, 0.6], "55.0 (50.0–60.0, n 2)"),
        ([None], "–"),
        ([], "–"),
    ],
)
def test_a_cell_has_mean_range_and_number_of_seeds(values, expected):
    assert cell(values) == expected


def test_seeds_are_put_together_stage_by_stage():
    found = rows(tables([result(0, 0.4), result(1, 0.6)]))
    assert found["psa_nano"][0] == "50.0 (40.0–60.0, n 2)"
    assert found["– rival"][0] == "40.0 (30.0–50.0, n 2)"
    assert found["– gain over rival"][1] == "10.0 (10.0–10.0, n 2)"
    assert found["– gain over rival"][0] == ""
    assert found["– gain over predict"][1] == "75.0 (75.0–75.0, n 2)"
    assert found["AUROC of posterior"] == ["50.0 (40.0–60.0, n 2)"]
    assert found["wrong regions"] == ["25.0 (25.0–25.0, n 2)"]
    assert found["kept"] == ["–"]
    assert found["source"] == ["50.0 (40.0–60.0, n 2)"]


def test_a_stage_that_some_seeds_lack_says_how_many_have_it():
    fewer = result(1, 0.6)
    del fewer["labels"]["psa_nano"]
    assert rows(tables([result(0, 0.4), fewer]))["psa_nano"][0] == "40.0 (n 1)"


def test_other_source_models_have_tables_of_their_own():
    text = tables([result(0, 0.4), result(0, 0.6, bundle="0123456789abcdef")])
    assert "**tiny, budget small**, labels" in text
    assert "**tiny, bundle 0123456789ab**, labels" in text
    with pytest.raises(ValueError, match="seed 0 of tiny with budget small is there twice"):
        tables([result(0, 0.4), result(0, 0.4)])
