"""The report of the rounds: its figures, and no text of others as markup."""

import re
from datetime import UTC, datetime, timedelta

from api_schemas.campaigns import (
    Campaign,
    CampaignProgress,
    CampaignStep,
    GateResult,
    Round,
    Scores,
)
from api_schemas.problems import Problem
from examples.demo_rounds import points_of
from examples.demo_rounds_page import curve, page

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def one_round(number: int, **more: object) -> Round:
    fields = {
        "campaign": "cmp_1", "number": number, "status": "promoted", "teacher": "demo:2",
        "model": "demo:3", "pipeline_digest": "d", "seed": 4, "links": {}, "started_at": NOW,
        "steps": [CampaignStep(step="train", status="done", job="job_1", started_at=NOW,
                               finished_at=NOW + timedelta(seconds=90))],
        "gates": [GateResult(gate="min_images", passed=True, value=8, limit=1, detail="<8>")],
        "teacher_scores": Scores(model="demo:2", miou=0.25),
        "scores": Scores(model="demo:3", miou=0.5), **more,
    }  # fmt: skip
    return Round.model_validate(fields)


def campaign() -> Campaign:
    reason = Problem(type="t", title="t", status=409, detail="max_label_drift: <far>", code="c")
    return Campaign(
        id="cmp_1", name="<night>", status="halted", done=True, setting="uda", model="demo:1",
        teacher="demo:3", target="set_1", config={}, pipeline_digest="d", metadata={}, links={},
        progress=CampaignProgress(fraction=1.0, round=1, rounds=2), reason=reason, created_at=NOW,
        created_by="local",
    )  # fmt: skip


def test_points_are_of_models_that_were_measured() -> None:
    rounds = [one_round(1), one_round(2, scores=None)]
    assert points_of(rounds) == [("adapted", 0.25), ("round 1", 0.5)]
    assert points_of([]) == []


def test_curve() -> None:
    picture = curve([("adapted", 0.25), ("round <1>", 0.5)])
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', picture)]
    assert heights[1] < heights[0] < 240 - 48
    for text in ("25.0 %", "50.0 %", "round &lt;1&gt;"):
        assert text in picture
    assert "<circle" not in curve([])
    assert curve([("adapted", 0.0)]).count("<circle") == 1


def test_page() -> None:
    text = page(campaign(), [one_round(1)], [("adapted", 0.25)])
    for shown in (
        "&lt;night&gt;", "halted", "&lt;far&gt;", "Round 1: promoted", "job_1", "<td>90</td>",
        "&lt;8&gt;", "demo:3", "seed 4", "<svg",
    ):  # fmt: skip
        assert shown in text
