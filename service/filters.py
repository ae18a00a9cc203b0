"""The grammar of `filter` and `order_by`: a small part of AIP-160.

    filter     = comparison { "AND" comparison }
    comparison = field operator value
    field      = name | name "." key                       metadata.ticket, metadata."my key"
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">="
    value      = bare word | quoted text                   running, 2026-01-01T00:00:00Z, "ML-42"

Pure: text in, comparisons out. What it does not know is refused with its position.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from api_schemas.image_sets import EntryStatus
from api_schemas.jobs import ItemStatus, JobStatus, JobType
from api_schemas.problems import FieldProblem, ValidationProblem
from storage.catalog.filtering import Comparison, Value

MAX_LENGTH: Final = 1000
MAX_COMPARISONS: Final = 20
MAX_NUMBER: Final = 2**31 - 1  # what an integer column can be compared with


_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<operator><=|>=|!=|=|<|>)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<word>[\w.:+/@\-]+)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True)
class Field:
    """What a field may be compared with; `choices` are its values if they are a closed set."""

    kind: Literal["text", "number", "integer", "time"] = "text"
    choices: tuple[str, ...] = ()
    has_key: bool = False

    @property
    def operators(self) -> tuple[str, ...]:
        return ("=", "!=") if self.kind == "text" else ("=", "!=", "<", "<=", ">", ">=")


_TEXT, _TIME, _NUMBER, _INTEGER = Field(), Field("time"), Field("number"), Field("integer")
JOB_FIELDS: Final[Mapping[str, Field]] = {
    "status": Field(choices=get_args(JobStatus)),
    "type": Field(choices=get_args(JobType)),
    "image_set": _TEXT,
    "model": _TEXT,
    "pipeline": _TEXT,
    "schedule": _TEXT,
    "retry_of": _TEXT,
    "created_by": _TEXT,
    "priority": _INTEGER,
    "created_at": _TIME,
    "started_at": _TIME,
    "finished_at": _TIME,
    "metadata": Field(has_key=True),
    "error": _TEXT,
}
ITEM_FIELDS: Final[Mapping[str, Field]] = {
    "status": Field(choices=get_args(ItemStatus)),
    "external_id": _TEXT,
    "quality": _NUMBER,
    "attempts": _INTEGER,
    "error": _TEXT,
}
ENTRY_FIELDS: Final[Mapping[str, Field]] = {
    "status": Field(choices=get_args(EntryStatus)),
    "external_id": _TEXT,
    "file_name": _TEXT,
    "image_digest": _TEXT,
    "problem": _TEXT,
}


@dataclass(frozen=True)
class _Token:
    kind: str  # operator | quoted | word | end
    text: str
    position: int  # of its first character, from 1

    @property
    def end(self) -> int:
        """Position of the character after it."""
        return self.position + len(self.text)


def parse_filter(text: str | None, fields: Mapping[str, Field]) -> list[Comparison]:
    """Return the comparisons of a filter; none for an empty one.

    Raises:
        ValidationProblem: says what is wrong, and at which character.
    """
    if text is None or not text.strip():
        return []
    if not text.isprintable():
        raise _wrong(1, "has a control character")
    tokens = _tokens(text)
    found = [_comparison(tokens, fields)]
    while (joint := tokens.pop(0)).kind != "end":
        if (joint.kind, joint.text) != ("word", "AND"):
            raise _wrong(joint.position, f"AND is expected instead of '{joint.text}'")
        if len(found) == MAX_COMPARISONS:
            raise _wrong(joint.position, f"more than {MAX_COMPARISONS} comparisons")
        found.append(_comparison(tokens, fields))
    return found


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None or match.lastgroup is None:
            at += len(stripped[at:]) - len(stripped[at:].lstrip())
            raise _wrong(at + 1, f"cannot be read from '{stripped[at : at + 20]}' on")
        at = match.end()
        group = match.lastgroup
        tokens.append(_Token(group, match[group], match.start(group) + 1))
    tokens.append(_Token("end", "", len(stripped) + 1))
    return tokens


def _comparison(tokens: list[_Token], fields: Mapping[str, Field]) -> Comparison:
    name, key = _field(tokens, fields)
    field = fields[name]
    operator = tokens.pop(0)
    if operator.kind != "operator":
        raise _wrong(operator.position, f"one of {' '.join(field.operators)} is expected")
    if operator.text not in field.operators:
        known = " ".join(field.operators)
        raise _wrong(operator.position, f"'{name}' cannot be compared by that; it has {known}")
    value = tokens.pop(0)
    if value.kind not in ("word", "quoted"):
        raise _wrong(value.position, "a value is expected")
    return Comparison(name, operator.text, _value(value, name, field), key)


def _field(tokens: list[_Token], fields: Mapping[str, Field]) -> tuple[str, str | None]:
    token = tokens.pop(0)
    name, dot, key = token.text.partition(".")
    if token.kind != "word" or name not in fields:
        raise _wrong(token.position, f"a field is expected; there are {', '.join(fields)}")
    if not fields[name].has_key:
        if dot:
            raise _wrong(token.position, f"'{name}' has no parts")
        return name, None
    if dot and not key and tokens[0].kind == "quoted" and tokens[0].position == token.end:
        key = _unquoted(tokens.pop(0).text)
    if not key or '"' in key or "\\" in key:
        raise _wrong(token.position, f'write {name}.KEY, or {name}."…" without quotes inside')
    return name, key


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _value(token: _Token, name: str, field: Field) -> Value:
    text = _unquoted(token.text) if token.kind == "quoted" else token.text
    if field.kind in ("number", "integer"):
        return _number(text, token.position, whole=field.kind == "integer")
    if field.kind == "time":
        return _time(text, token.position)
    if field.choices and text not in field.choices:
        known = ", ".join(field.choices)
        raise _wrong(token.position, f"'{name}' is one of {known}")
    return text


def _number(text: str, position: int, *, whole: bool) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise _wrong(position, f"'{text[:40]}' is not a number") from error
    if not math.isfinite(number) or abs(number) > MAX_NUMBER:
        raise _wrong(position, "the number is too large")
    if whole and not number.is_integer():
        raise _wrong(position, "a whole number is expected")
    return int(number) if whole else number


def _time(text: str, position: int) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(
            position, f"'{text[:40]}' is not a time; write 2026-01-31T12:00:00Z (a + as %2B)"
        ) from error
    if time.tzinfo is None:
        raise _wrong(position, "the time has no zone; add Z for UTC")
    return time.timestamp()


def _wrong(position: int, detail: str, parameter: str = "filter") -> ValidationProblem:
    return ValidationProblem(
        f"{parameter} is not valid at character {position}: {detail}.",
        errors=[FieldProblem(pointer=f"/{parameter}", detail=f"at character {position}: {detail}")],
    )


@dataclass(frozen=True)
class Order:
    """A field to sort by, and the direction."""

    field: str
    descending: bool

    @property
    def text(self) -> str:
        """The one way to write it."""
        return f"{self.field} {'desc' if self.descending else 'asc'}"


def parse_order(text: str | None, fields: tuple[str, ...]) -> Order | None:
    """Return the order that a list is asked for in; None if none is.

    Raises:
        ValidationProblem: not a field of `fields`, or not a direction.
    """
    if text is None or not text.strip():
        return None
    words = text.split()
    if words[0] not in fields:
        raise _wrong(
            len(text) - len(text.lstrip()) + 1,
            f"a field is expected; there are {', '.join(fields)}",
            "order_by",
        )
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
        start = text.index(words[0]) + len(words[0])
        raise _wrong(start + 2, "'asc' or 'desc' is expected, and nothing more", "order_by")
    return Order(words[0], words[1:] == ["desc"])
