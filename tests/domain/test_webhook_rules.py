"""What an answer means: sent, again later, or never."""

import pytest

from domain.webhook_rules import MAX_ATTEMPTS, PAUSES_SECONDS, after_answer, after_silence


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_delivered(status: int) -> None:
    assert after_answer(status, 1).status == "delivered"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_tried_again(status: int) -> None:
    verdict = after_answer(status, 1)
    assert 4.5 <= (verdict.next_in_seconds or 0) <= 5.5
    assert (verdict.outcome, verdict.status) == ("retried", "pending")


@pytest.mark.parametrize("status", [100, 301, 302, 307, 308, 400, 401, 404, 410, 422])
def test_final(status: int) -> None:
    verdict = after_answer(status, 1)
    assert (verdict.outcome, verdict.status, verdict.next_in_seconds) == ("failed", "failed", None)


def test_pauses_grow_and_end() -> None:
    assert list(PAUSES_SECONDS) == [5.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0]
    for attempts, pause in enumerate(PAUSES_SECONDS, 1):
        found = {after_silence(attempts).next_in_seconds or 0 for _ in range(50)}
        assert len(found) > 1  # not all at one moment
        assert 0.9 * pause <= min(found) <= max(found) <= 1.1 * pause
    assert MAX_ATTEMPTS == 7
    assert after_silence(7).status == "failed"


@pytest.mark.parametrize(
    ("header", "least"),
    [("600", 600), ("999999999", 7200), ("soon", 4.5), ("-5", 4.5), ("²", 4.5), (None, 4.5)],
)
def test_the_receiver_asks_for_time(header: str | None, least: float) -> None:
    verdict = after_answer(503, 1, header)
    assert verdict.next_in_seconds is not None
    assert least <= verdict.next_in_seconds <= max(5.5, least)
