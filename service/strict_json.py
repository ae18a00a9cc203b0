"""JSON from outside, checked once: no NaN, no endless nesting, no text that cannot be stored.

`json.loads` takes `NaN`, `\\ud800` and a document nested so deeply that it exhausts the stack, and
PostgreSQL refuses a zero byte in a text. Pydantic's parser is strict in all but the last.
"""

import math
import re
from typing import Any

from pydantic_core import from_json

from api_schemas.problems import FieldProblem, ValidationProblem

# What the parser lets through: the zero byte as an escape, and numbers beyond a double.
_SUSPECT = re.compile(rb"\\u0000|[eE]\+?[0-9]{3}|[0-9]{300}")


def parse_json(data: bytes) -> Any:
    """Return the document in `data`.

    Raises:
        ValidationProblem: it is not JSON, nested beyond 200 levels, or holds a zero byte, half a
            surrogate pair, or a number that is not finite.
    """
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise _refused(f"The JSON cannot be read: {error}.", str(error)) from error
    if _SUSPECT.search(data):
        _check(document)
    return document


def _check(document: Any) -> None:
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and "\x00" in value:
            raise _refused("A text in the JSON holds a zero byte, which cannot be stored.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise _refused("A number in the JSON is too large.")


def _refused(detail: str, what: str = "not usable") -> ValidationProblem:
    return ValidationProblem(detail, errors=[FieldProblem(pointer="/", detail=what)])
