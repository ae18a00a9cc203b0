"""What is made of measured seconds and bytes, and the table of it."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from benchmarks.speed import latency, memory, throughput
from benchmarks.speed.report import print_result

SHARES = {"chunks": 3, "all": 10.0}
ROWS = [
    {
        "service": {**SHARES, "all": service, "processor": 4.0},
        "loop": {"all": loop, "pilot": 1.0, "processor": 3.0},
        "keeping_loop": {"all": keeping, "pilot": 1.0, "processor": 3.0},
    }
    for service, loop, keeping in [(10.0, 12.0, 9.0), (20.0, 18.0, 16.0), (10.0, 10.0, 8.0)]
]
REQUESTS = [{"all": n / 10, "post": 0.1, "planning": 0.1, "working": n / 20} for n in range(1, 21)]
CURVE = [{"images": n, "rss_bytes": size} for n, size in [(100, 90), (200, 100), (400, 104)]]


def whole() -> dict[str, Any]:
    return {
        "throughput": throughput.summary(100, ROWS),
        "latency": latency.summary(REQUESTS, [0.2, 0.3, 0.4]),
        "memory": memory.summary(CURVE, first=200),
    }


class TestThroughput:
    def test_ratios_are_taken_within_a_repeat(self) -> None:
        result = throughput.summary(100, ROWS)
        assert result["ratio"]["loop"]["runs"] == pytest.approx([1.2, 0.9, 1.0])
        assert result["ratio"]["keeping_loop"]["median"] == pytest.approx(0.8)
        assert result["images_per_second"]["service"]["median"] == pytest.approx(10.0)

    def test_processor_time_is_compared_as_well(self) -> None:
        assert throughput.summary(100, ROWS)["processor_ratio"]["loop"]["median"] == 0.75

    def test_both_ratios_must_reach_the_goal(self) -> None:
        assert throughput.summary(100, ROWS)["reached"] is False
        assert throughput.summary(100, ROWS[:1])["reached"] is True


class TestLatency:
    def test_percentiles(self) -> None:
        result = latency.summary(REQUESTS, [0.2, 0.3, 0.4])
        assert (result["p50_seconds"], result["p95_seconds"]) == (1.0, 1.9)
        assert result["pipeline_p50_seconds"] == 0.3
        assert result["parts_p50_seconds"] == {"post": 0.1, "planning": 0.1, "working": 0.5}
        assert result["reached"] is True


class TestMemory:
    def test_growth_counts_from_the_first_look(self) -> None:
        result = memory.summary(CURVE, first=200)
        assert result["growth"] == pytest.approx(0.04)
        assert result["reached"] is True

    def test_more_than_the_goal_is_missed(self) -> None:
        assert memory.summary([*CURVE, {"images": 500, "rss_bytes": 106}], 200)["reached"] is False


class TestReport:
    def test_every_figure_and_goal_is_in_the_table(self) -> None:
        out = io.StringIO()
        print_result(whole(), Console(file=out, width=140))
        text = out.getvalue()
        assert "service / loop, 100 images, same bytes" in text
        assert "≥ 0.85: MISSED" in text
        assert "≤ 1.5: reached" in text
        assert "+4.0%" in text
        assert "keeping loop: pilot" in text

    def test_the_result_is_json(self) -> None:
        assert json.loads(json.dumps(whole(), allow_nan=False))["memory"]["last_images"] == 400
