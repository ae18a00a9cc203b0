"""When a cron expression is due in a time zone. Pure: the time comes from the caller.

Five fields, to the minute. At the change to summer time a due time that does not exist (02:30)
moves to the end of the gap (03:00); at the change back a fixed hour is due once, at the first of
its two occurrences, and an expression that is due every hour or every few minutes goes on through
both. These are the rules of Debian's cron.
"""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from api_schemas.problems import FieldProblem, ValidationProblem

FIELDS: Final = 5
LATEST_YEAR: Final = 9000


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def due_times(cron: str, time_zone: str, after: float) -> Iterator[float]:
    """Yield the times (seconds since the epoch) later than `after` at which `cron` is due.

    Raises:
        ValueError: see `check`, which tells it better.
    """
    zone = ZoneInfo(time_zone)
    if len(cron.split()) != FIELDS:
        raise ValueError("five fields are needed")
    last = after
    try:
        for due in CronSim(cron, datetime.fromtimestamp(after, UTC).astimezone(zone)):
            seconds = due.timestamp()
            if seconds > last:  # two local times may be one moment where the clock is changed
                last = seconds
                yield seconds
            if due.year > LATEST_YEAR:
                return
    except (CronSimError, AssertionError) as error:
        raise ValueError(str(error) or "not a cron expression") from error


def next_due(cron: str, time_zone: str, after: float) -> float | None:
    """Return the first due time later than `after`; None if there is none for decades."""
    return next(due_times(cron, time_zone, after), None)


def check(cron: str, time_zone: str, now: float) -> None:
    """Refuse what can never be due.

    Raises:
        ValidationProblem: not a cron expression, never due, or not a time zone.
    """
    if time_zone not in _zone_names():
        raise ValidationProblem(
            f"'{time_zone[:64]}' is not a time zone. Use a name of the IANA data base, such as "
            "'Europe/Berlin' or 'UTC'.",
            errors=[FieldProblem(pointer="/time_zone", detail="not an IANA time zone")],
        )
    try:
        found = next_due(cron, time_zone, now)
    except ValueError as error:
        raise _bad_cron(f"is not a cron expression ({str(error).lower()})") from error
    if found is None:
        raise _bad_cron("is never due")


def _bad_cron(detail: str) -> ValidationProblem:
    return ValidationProblem(
        f"The cron expression {detail}. Write five fields: minute, hour, day of the month, month, "
        "day of the week; '30 2 * * MON-FRI' is 02:30 on working days.",
        errors=[FieldProblem(pointer="/cron", detail=detail)],
    )
