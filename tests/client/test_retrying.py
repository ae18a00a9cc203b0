from datetime import UTC, datetime

import httpx
import pytest
from selvage_client.errors import SelvageError, ServiceUnreachable
from selvage_client.retrying import Attempts, RetryPolicy, read_problem, retry_after_seconds

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0 ", 0.0),
        ("Fri, 01 May 2026 12:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    ("tried", "jitter", "retry_after", "seconds"),
    [
        (1, 0.0, None, 0.5),
        (1, 1.0, None, 1.0),
        (2, 1.0, None, 2.0),
        (4, 1.0, None, 5.0),
        (900, 0.0, None, 2.5),
        (1, 0.0, 7.0, 7.5),
    ],
)
def test_pauses_double_to_a_bound_and_honour_retry_after(
    tried: int, jitter: float, retry_after: float | None, seconds: float
) -> None:
    policy = RetryPolicy(first_delay_seconds=1.0, longest_delay_seconds=5.0)
    assert policy.delay_seconds(tried, jitter, retry_after) == seconds


def attempts(number: int = 3) -> Attempts:
    return Attempts(RetryPolicy(number, number, 0.0, 0.0), "http://x", "GET /v1/jobs")


def answer(status: int, code: str = "c", **headers: str) -> httpx.Response:
    content = {"type": "t", "title": "T", "status": status, "detail": "d", "code": code}
    return httpx.Response(
        status, json=content, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_faults_are_tried_again_until_patience_ends(status: int) -> None:
    tries = attempts(3)
    assert tries.after_answer(answer(status)) == 0.0
    assert tries.after_answer(answer(status)) == 0.0
    with pytest.raises(SelvageError) as caught:
        tries.after_answer(answer(status))
    assert caught.value.problem.status == status


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500])
def test_other_errors_are_raised_at_once(status: int) -> None:
    with pytest.raises(SelvageError):
        attempts().after_answer(answer(status))


def test_a_request_whose_twin_is_running_is_tried_again_for_two_minutes() -> None:
    now = 0.0
    tries = Attempts(RetryPolicy(1, 1, 0.0, 0.0), "http://x", "POST /v1/jobs", clock=lambda: now)
    held = answer(409, "idempotency-in-progress", retry_after="2")
    assert [tries.after_answer(held) for _ in range(20)] == [2.0] * 20
    now = 120.0
    with pytest.raises(SelvageError):
        tries.after_answer(held)


def test_an_address_that_never_answered_is_given_up_sooner() -> None:
    policy = RetryPolicy(5, 2, 0.0, 0.0)
    refused = httpx.ConnectError("refused")
    tries = Attempts(policy, "http://x", "GET /v1/jobs", answered_before=False)
    tries.after_error(refused)
    with pytest.raises(ServiceUnreachable):
        tries.after_error(refused)
    known = Attempts(policy, "http://x", "GET /v1/jobs", answered_before=True)
    assert [known.after_error(refused) for _ in range(4)] == [0.0] * 4


def test_too_long_a_wait_is_left_to_the_caller() -> None:
    with pytest.raises(SelvageError) as caught:
        attempts().after_answer(answer(429, retry_after="3600"))
    assert caught.value.retry_after_seconds == 3600.0


def test_lost_connections_are_tried_again_and_a_bad_address_is_not() -> None:
    tries = attempts(2)
    assert tries.after_error(httpx.ConnectError("refused")) == 0.0
    with pytest.raises(ServiceUnreachable, match=r"No service answers at http://x \(refused\)"):
        tries.after_error(httpx.ConnectError("refused"))
    with pytest.raises(ServiceUnreachable, match="did not answer in time"):
        attempts(1).after_error(httpx.ReadTimeout(""))
    with pytest.raises(ServiceUnreachable):
        attempts().after_error(httpx.UnsupportedProtocol("ftp"))


def test_an_answer_of_something_else_gets_a_problem_of_its_own() -> None:
    response = httpx.Response(502, text="<html>Bad gateway</html>")
    problem = read_problem(response, "http://x", "GET /v1/jobs")
    assert (problem.status, problem.code) == (502, "http-502")
    assert "GET /v1/jobs" in problem.detail
