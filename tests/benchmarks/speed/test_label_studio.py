import httpx
import pytest

from benchmarks.speed.label_studio import summary, timed


def answering(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "http://x"))


def test_each_answer_is_timed() -> None:
    assert len(timed(lambda: answering(200), 3)) == 3


def test_an_error_is_no_answer() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        timed(lambda: answering(503), 3)


@pytest.mark.parametrize(
    ("health", "setup", "predict", "reached"),
    [
        ([0.1, 0.2], [0.01], [2.0], True),
        ([0.1, 0.21], [0.01], [2.0], False),
        ([0.1], [0.21], [2.0], False),
        ([0.1], [0.01], [0.1, 2.1], False),
    ],
)
def test_the_slowest_answer_decides(
    health: list[float], setup: list[float], predict: list[float], reached: bool
) -> None:
    found = summary(health, setup, predict)
    assert found["reached"] is reached
    assert found["health"]["slowest_seconds"] == max(health)
    assert found["predict"]["answers"] == len(predict)
