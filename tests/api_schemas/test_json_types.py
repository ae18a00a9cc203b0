from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from api_schemas.json_types import Integer, Number, Truth


class Body(BaseModel):
    count: Integer = Field(0, ge=0)
    share: Number | None = None
    sure: Truth = False


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ({"count": 3, "share": 0.5, "sure": True}, (3, 0.5, True)),
        ({"count": 3.0, "share": 1}, (3, 1.0, False)),
        ({"share": None}, (0, None, False)),
    ],
)
def test_json_numbers(body: dict[str, Any], values: tuple[Any, ...]) -> None:
    made = Body.model_validate(body)
    assert (made.count, made.share, made.sure) == values


@pytest.mark.parametrize(
    "body",
    [
        {"count": True},
        {"count": "3"},
        {"count": 3.5},
        {"count": -1},
        {"share": False},
        {"share": "0.5"},
        {"sure": 1},
        {"sure": "true"},
    ],
)
def test_look_alikes(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate(body)


def test_the_schema_says_the_same() -> None:
    schema = Body.model_json_schema()["properties"]
    assert schema["count"]["type"] == "integer"
    assert schema["sure"]["type"] == "boolean"
