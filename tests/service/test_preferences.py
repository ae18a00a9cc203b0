import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.preferences import Preferences, parse


@pytest.mark.parametrize(
    ("header", "wait_seconds", "handling"),
    [
        (None, None, None),
        ("", None, None),
        ("wait=10", 10, None),
        ("wait=10, handling=lenient", 10, "lenient"),
        ("Handling = Strict", None, None),  # names know no case, values do
        ("HANDLING=strict", None, "strict"),
        ('wait="7"; why=x;, handling="strict"', 7, "strict"),
        ("wait=3600", 60, None),
        ("wait=99999999999999999999999", 60, None),
        ("wait=0", 0, None),
        ("wait=3, wait=9", 3, None),  # the first of a name counts
        ("wait=-1, handling=strict", None, "strict"),
        ("wait=1.5", None, None),
        ("wait=٣", None, None),  # digits, but not of ours
        ("wait", None, None),
        ('respond-async, foo="a,b;wait=9", wait=2', 2, None),
        ("@@@, wait=2", 2, None),
        (",,wait=2,,", 2, None),
        ('foo="never closed, wait=2', 2, None),
        ("handling=harsh", None, None),
    ],
)
def test_parse(header: str | None, wait_seconds: int | None, handling: str | None) -> None:
    found = parse(header)
    assert (found.wait_seconds, found.handling) == (wait_seconds, handling)


@given(st.text(st.characters(max_codepoint=255), max_size=80) | st.text(',;=" \\waithndlg12'))
def test_nothing_breaks_it(header: str) -> None:
    found = parse(header)
    assert found.wait_seconds is None or 0 <= found.wait_seconds <= 60
    assert parse(f"wait=5, {header}").wait_seconds == 5


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ['"', "a;", "a=", 'a="\\', " ", "a ", "; "])
def test_long_headers_take_no_time(part: str) -> None:
    assert parse("x=" + part * 60_000) == Preferences()


def test_applied_tells_what_was_asked_for() -> None:
    both = parse("wait=90, handling=strict, respond-async")
    assert both.applied("wait", "handling") == {"Preference-Applied": "wait=60, handling=strict"}
    assert both.applied("handling") == {"Preference-Applied": "handling=strict"}
    assert parse("wait=1").applied("handling") == {}
    assert both.is_strict
    assert not parse("handling=lenient").is_strict
