from typing import Any

import pytest

from examples.demo_page import decision, page, stage_rows

STAGES: list[dict[str, Any]] = [
    {"stage": "predict", "coverage": 1.0, "accuracy_kept": 0.7, "rival": None},
    {"stage": "select", "coverage": 0.5, "accuracy_kept": None, "rival": {"accuracy_kept": 0.8}},
]
REGIONS: dict[str, Any] = {
    "decided_by": "job",
    "reason": "enough",
    "kept": 3,
    "relabelled": 1,
    "rejected": 2,
}
SUMMARY: dict[str, Any] = {
    "files": 2,
    "labelled": 1,
    "model": "demo:2",
    "region_model": "nano",
    "coverage": 0.5,
    "quality": 0.75,
    "regions": REGIONS,
    "stages": STAGES,
    "reliability": {
        "max-softmax of predict": {"auroc": 0.8, "ece": 0.1, "points": [(0.5, 0.4, 1.0)]},
    },
}
IMAGES: list[dict[str, Any]] = [
    {
        "name": "<a>.png",
        "status": "succeeded",
        "coverage": 0.5,
        "quality": 0.75,
        "pictures": {"image": "report/x_image.png", "predict": "report/x_predict.png"},
        "stages": [{"stage": "predict", "coverage": 1.0}],
        "regions": REGIONS,
    },
    {"name": "b.png", "status": "failed", "reason": "no <image>"},
]


def test_a_table_has_the_rival_in_brackets_and_a_dash_for_what_is_undefined():
    table = stage_rows(STAGES)
    assert "<tr><td>predict</td><td>100.0</td><td>70.0</td></tr>" in table
    assert "<tr><td>select</td><td>50.0</td><td>– (80.0)</td></tr>" in table
    assert stage_rows([]) == ""


@pytest.mark.parametrize(
    ("decided_by", "text"),
    [
        ("job", "The classifier that was fitted on this job's own regions decided (enough): "),
        ("model", "The classifier that came with the model decided (enough): "),
        ("none", "No classifier decided, but the votes and confidence of each region (enough): "),
        (None, ""),
    ],
)
def test_it_says_who_decided(decided_by, text):
    regions = {**REGIONS, "decided_by": decided_by}
    assert decision(regions) == f"{text}3 kept, 1 relabelled, 2 rejected"


def test_the_page_shows_each_image_and_why_one_has_no_label():
    text = page(SUMMARY, [("road & path", (1, 2, 3))], IMAGES)
    assert '<i style="background: rgb(1, 2, 3)"></i>road &amp; path' in text
    assert "&lt;a&gt;.png" in text
    assert "<a>" not in text
    assert text.count("<img ") == 2
    assert "failed: no &lt;image&gt;" in text
    assert "1 of 2 images labelled" in text
    assert "Rival" in text


def test_without_exact_labels_there_is_no_word_of_a_rival():
    text = page({**SUMMARY, "stages": [], "reliability": {}}, [], IMAGES)
    assert "Rival" not in text
    assert "exact labels" not in text
