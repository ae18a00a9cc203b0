from datetime import timedelta

import pytest
from rich.console import Console
from selvage_client.cli.tables import age, flat, jobs_table

from tests.client.fake_service import JOB_ID, make_job


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=12, hours=3), "12 d"),
    ],
)
def test_ages_are_short(past: timedelta, text: str) -> None:
    assert age(past) == text


def test_a_job_fits_on_a_line_of_a_terminal() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(jobs_table([make_job("finalizing", 100, total=1000, model="demo:12")]))
    (_, row) = capture.get().splitlines()
    assert row.split()[:5] == [JOB_ID, "generate", "finalizing", "100/1000", "demo:12"]


def test_results_are_flattened() -> None:
    result = {"quality": {"miou": 0.25, "iou": {"road": 1.0}}, "images": 3}
    assert list(flat(result)) == [
        ("quality.miou", "0.2500"),
        ("quality.iou.road", "1.0000"),
        ("images", "3"),
    ]
