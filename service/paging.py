"""Page tokens: opaque, and the last key seen inside."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from api_schemas.problems import FieldProblem, ValidationProblem

PageSize = Annotated[int, Query(ge=1, le=1000, description="Entries in one page")]
PageToken = Annotated[
    str | None, Query(max_length=2000, description="`next_page_token` of the page before")
]


def encode_token(key: str | int) -> str:
    """Return the token of a page that ends with `key`."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decode_token(token: str | None) -> str | None:
    """Return the key inside a token.

    Raises:
        ValidationProblem: the token is not one of ours.
    """
    if token is None:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise _invalid() from error
    if not key.isprintable():  # PostgreSQL refuses zero bytes
        raise _invalid()
    return key


def decode_position(token: str | None) -> int:
    """Return the position inside a token; -1 for the first page.

    Raises:
        ValidationProblem: the token is not one of ours.
    """
    key = decode_token(token)
    if key is None:
        return -1
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise _invalid()
    return int(key)


def _invalid() -> ValidationProblem:
    return ValidationProblem(
        "page_token is not valid. Use the next_page_token of the page before, unchanged.",
        errors=[FieldProblem(pointer="/page_token", detail="not a token of this service")],
    )
