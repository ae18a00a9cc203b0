import zoneinfo
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_schemas.problems import ValidationProblem
from domain.cron import check, due_times, next_due

BERLIN = "Europe/Berlin"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def due(cron: str, zone: str, after: str, n: int) -> list[str]:
    """The next due times, as local times with their offset."""
    found = islice(due_times(cron, zone, seconds(after)), n)
    return [datetime.fromtimestamp(t, ZoneInfo(zone)).isoformat(timespec="minutes") for t in found]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 2 * * *", "UTC", "2026-11-23T09:00:00+00:00",
         ["2026-11-24T02:30+00:00", "2026-11-25T02:30+00:00"]),
        ("0 22 * * MON-FRI", BERLIN, "2026-11-20T20:59:59+00:00",
         ["2026-11-20T22:00+01:00", "2026-11-23T22:00+01:00"]),
        # exactly at a due time: the next one
        ("0 22 * * *", BERLIN, "2026-11-20T21:00:00+00:00", ["2026-11-21T22:00+01:00"]),
        ("*/20 * * * *", BERLIN, "2026-11-20T21:00:00.5+00:00",
         ["2026-11-20T22:20+01:00", "2026-11-20T22:40+01:00", "2026-11-20T23:00+01:00"]),
        # the clock goes forward on 2027-03-28, 02:00 -> 03:00: moved to the end of the gap
        ("30 2 * * *", BERLIN, "2027-03-27T12:00:00+00:00",
         ["2027-03-28T03:00+02:00", "2027-03-29T02:30+02:00"]),
        ("0 2,3 * * *", BERLIN, "2027-03-27T12:00:00+00:00",
         ["2027-03-28T03:00+02:00", "2027-03-29T02:00+02:00"]),
        ("30 * * * *", BERLIN, "2027-03-28T00:00:00+00:00",
         ["2027-03-28T01:30+01:00", "2027-03-28T03:30+02:00"]),
        # back on 2026-10-25, 03:00 -> 02:00: a fixed hour once, every hour twice
        ("30 2 * * *", BERLIN, "2026-10-24T12:00:00+00:00",
         ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T01:10:00+00:00", ["2026-10-26T02:30+01:00"]),
        ("30 * * * *", BERLIN, "2026-10-25T00:00:00+00:00",
         ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", ["2028-02-29T00:00+00:00"]),
        ("0 12 * * *", "Pacific/Kiritimati", "2026-11-23T00:00:00+00:00",
         ["2026-11-24T12:00+14:00"]),
    ],
)  # fmt: skip
def test_due_times(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert due(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "pointer"),
    [
        ("0 0 * *", "UTC", "/cron"),
        ("0 0 0 * * *", "UTC", "/cron"),  # seconds
        ("@daily", "UTC", "/cron"),
        ("60 0 * * *", "UTC", "/cron"),
        ("* * * * 9", "UTC", "/cron"),
        ("*/0 * * * *", "UTC", "/cron"),
        ("5-1 * * * *", "UTC", "/cron"),
        ("0 0 31 2 *", "UTC", "/cron"),  # never
        ("0 0 30 2 *", BERLIN, "/cron"),
        ("; rm -rf / * *", "UTC", "/cron"),
        ("٣ * * * *", "UTC", "/cron"),
        ("1,,2 * * * *", "UTC", "/cron"),
        ("* * * * *", "Europe/Atlantis", "/time_zone"),
        ("* * * * *", "../../etc/passwd", "/time_zone"),
        ("* * * * *", "/etc/localtime", "/time_zone"),
        ("* * * * *", "Europe", "/time_zone"),
        ("* * * * *", "", "/time_zone"),
    ],
)
def test_refused(cron: str, zone: str, pointer: str) -> None:
    with pytest.raises(ValidationProblem) as raised:
        check(cron, zone, seconds("2026-11-23T09:00:00+00:00"))
    assert raised.value.errors[0].pointer == pointer


@pytest.mark.timeout(60)
@given(st.text("0123456789*/,-#L?WSUNMONJAN ", max_size=40) | st.text(max_size=30))
def test_any_text_is_due_or_refused(cron: str) -> None:
    now = 1_800_000_000.0
    try:
        check(cron, BERLIN, now)
    except ValidationProblem:
        return
    assert (next_due(cron, BERLIN, now) or 0.0) > now


NUMBER = st.integers(0, 59).map(str)
MINUTE = NUMBER | st.sampled_from(["*", "*/7", "*/15", "5-50/9", "1,31"])
HOUR = st.integers(0, 23).map(str) | st.sampled_from(["*", "*/2", "1-4", "0,2,3"])


@settings(deadline=None, max_examples=60)
@given(
    MINUTE,
    HOUR,
    st.sampled_from(["Europe/Berlin", "America/New_York", "America/Havana", "Asia/Kathmandu"]),
    st.floats(1.7e9, 2.0e9),
)
def test_no_due_time_depends_on_where_one_starts(
    minute: str, hour: str, zone: str, start: float
) -> None:
    cron = f"{minute} {hour} * * *"
    found = list(islice(due_times(cron, zone, start), 30))
    assert found == sorted(set(found))
    assert found[0] > start
    for i in range(29):
        assert next_due(cron, zone, found[i]) == found[i + 1]
        between = (found[i] + found[i + 1]) / 2
        assert next_due(cron, zone, between) == found[i + 1]


def test_every_zone_that_is_offered_can_be_used() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    for zone in sorted(zoneinfo.available_timezones()):
        check("0 4 * * *", zone, now)
