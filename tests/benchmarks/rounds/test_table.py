"""The table of rounds."""

import io

import pytest
from rich.console import Console

from benchmarks.rounds.table import gap_closed, print_tables


def test_the_share_of_the_gap():
    assert gap_closed(0.5, 0.4, 0.6) == pytest.approx(0.5)
    assert gap_closed(0.5, 0.6, 0.6) is None


def result(row: str, miou: float, seed: int = 0) -> dict:
    held_out = {"miou": miou, "miou_interval": [miou - 0.1, miou + 0.1], "boundary_iou": 0.25}
    return {
        "row": row,
        "data": "scenes-night-choose",
        "budget": "small",
        "rounds_asked": 2,
        "seed": seed,
        "rounds": [{"held_out": {"miou": 0.0}}, {"held_out": held_out}],
    }


def test_the_last_round_counts_and_seeds_are_averaged():
    results = [
        result("oracle", 0.6),
        result("source_bn", 0.4),
        result("plain", 0.4),
        result("plain", 0.6, seed=1),
    ]
    out = io.StringIO()
    print_tables(results, Console(file=out, width=120))
    lines = [line for line in out.getvalue().splitlines() if "plain" in line]
    assert [part.strip() for part in lines[0].strip("│").split("│")] == [
        "plain", "2", "50.0", "40.0–60.0", "50", "25.0", "–",
    ]  # fmt: skip
