import pytest
from selvage_client.cli.bars import clock, job_facts

from tests.client.fake_service import make_job


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (4.4, "0:04"), (59.6, "1:00"), (7290, "2:01:30")]
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_facts_of_a_job() -> None:
    assert job_facts(make_job("running", 1)) == "1/4 images, 2.0 images/s, 0:03 left"
    assert job_facts(make_job("succeeded", 4)) == "4/4 images, 2.0 images/s"
