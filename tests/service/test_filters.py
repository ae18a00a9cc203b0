from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_schemas.problems import ValidationProblem
from service.filters import ITEM_FIELDS, JOB_FIELDS, Order, parse_filter, parse_order
from storage.catalog.filtering import JOB_CONDITIONS, Comparison, conditions_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("  ", []),
        ("status=running", [Comparison("status", "=", "running")]),
        (
            'status = running AND type=generate AND metadata.ticket="ML-42"',
            [
                Comparison("status", "=", "running"),
                Comparison("type", "=", "generate"),
                Comparison("metadata", "=", "ML-42", "ticket"),
            ],
        ),
        (
            "created_at>2026-01-01T00:00:00Z AND created_at<=2026-01-01T02:00:00+02:00",
            [
                Comparison("created_at", ">", 1767225600.0),
                Comparison("created_at", "<=", 1767225600.0),
            ],
        ),
        ("model=demo:2", [Comparison("model", "=", "demo:2")]),
        ("priority>=-5", [Comparison("priority", ">=", -5)]),
        (
            r'metadata."my key"="say \"AND\" \\" AND metadata.a.b!=x',
            [
                Comparison("metadata", "=", 'say "AND" \\', "my key"),
                Comparison("metadata", "!=", "x", "a.b"),
            ],
        ),
        ('metadata.ort="Köln \' OR 1=1; --"',
         [Comparison("metadata", "=", "Köln ' OR 1=1; --", "ort")]),
    ],
)  # fmt: skip
def test_parse(text: str | None, expected: list[Comparison]) -> None:
    assert parse_filter(text, JOB_FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("status", 7, "is expected"),
        ("status=", 8, "a value"),
        ("status=running AND", 19, "a field"),
        ("status=running AND AND", 20, "a field"),
        ("status=running OR status=failed", 16, "AND is expected"),
        ("NOT status=running", 1, "a field"),
        ("(status=running)", 1, "cannot be read"),
        ("status=running  ; drop table job", 17, "cannot be read"),
        ("  wrong=1", 3, "there are status, type"),
        ("status=asleep", 8, "one of queued"),
        ("status<running", 7, "it has = !="),
        ("status.x=running", 1, "no parts"),
        ("metadata=x", 1, "metadata.KEY"),
        ('metadata."a\\"b"=x', 1, "without quotes"),
        ('metadata. "a"=x', 1, "metadata.KEY"),
        ("priority=high", 10, "not a number"),
        ("priority=1.5", 10, "whole number"),
        ("priority=1e300", 10, "too large"),
        ("priority=nan", 10, "too large"),
        ("created_at>2026-01-01T00:00:00", 12, "no zone"),
        ("created_at>yesterday", 12, "not a time"),
        ('type="generate', 6, "cannot be read"),
        ("status=running\x00", 1, "control character"),
        (" AND ".join(["priority=1"] * 21), 297, "more than 20"),
    ],
)
def test_refused_with_the_position(text: str, position: int, says: str) -> None:
    with pytest.raises(ValidationProblem) as raised:
        parse_filter(text, JOB_FIELDS)
    (error,) = raised.value.errors
    assert error.pointer == "/filter"
    assert error.detail.startswith(f"at character {position}: ")
    assert says in error.detail


WORDS = st.sampled_from(
    ["status", "=", "running", "AND", " ", '"', "\\", "metadata", ".", "<", "created_at", "(", "'",
     "2026-01-01T00:00:00Z", "priority", "9", "--", ";", "ü", "!="]
)  # fmt: skip


@given(st.text(max_size=60) | st.lists(WORDS, max_size=14).map("".join))
def test_any_text_is_read_or_refused_with_a_position_in_it(text: str) -> None:
    for fields in (JOB_FIELDS, ITEM_FIELDS):
        try:
            parse_filter(text, fields)
        except ValidationProblem as problem:
            (error,) = problem.errors
            position = int(error.detail.split()[2].rstrip(":"))
            assert 1 <= position <= len(text) + 1


VALUES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=30)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(VALUES, st.sampled_from(["=", "!="]), VALUES)
def test_any_value_comes_through_and_none_gets_into_sql(
    value: str, operator: str, key: str
) -> None:
    key = key.replace('"', "").replace("\\", "") or "k"
    text = f"metadata.{quoted(key)}{operator}{quoted(value)} AND created_by = {quoted(value)}"
    found = parse_filter(text, JOB_FIELDS)
    assert found == [
        Comparison("metadata", operator, value, key),
        Comparison("created_by", "=", value),
    ]
    for condition in conditions_of(found, JOB_CONDITIONS):
        sql = str(condition.compile())
        assert value not in sql or value in "job_metadata.created_by IS DISTINCT FROM =[]:1 "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (" ", None),
        ("priority", Order("priority", False)),
        (" priority  desc ", Order("priority", True)),
        ("created_at asc", Order("created_at", False)),
    ],
)
def test_order(text: str | None, expected: Any) -> None:
    assert parse_order(text, ("created_at", "priority")) == expected


@pytest.mark.parametrize("text", ["size", "priority down", "priority desc, id", "desc", "1"])
def test_order_refused(text: str) -> None:
    with pytest.raises(ValidationProblem) as raised:
        parse_order(text, ("created_at", "priority"))
    assert raised.value.errors[0].pointer == "/order_by"
