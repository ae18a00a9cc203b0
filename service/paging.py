"""Page tokens: opaque, and the last key seen inside."""

import base64
import binascii
import hashlib
import json
import math
from typing import Annotated

from fastapi import Query

from api_schemas.problems import FieldProblem, ValidationProblem

PageSize = Annotated[int, Query(ge=1, le=1000, description="Entries in one page")]
PageToken = Annotated[
    str | None, Query(max_length=2000, description="`next_page_token` of the page before")
]


def encode_token(key: str | float) -> str:
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


def decode_seconds(token: str | None) -> float | None:
    """Return the time inside a token; None for the first page.

    Raises:
        ValidationProblem: the token is not one of ours.
    """
    key = decode_token(token)
    if key is None:
        return None
    try:
        seconds = float(key)
    except ValueError as error:
        raise _invalid() from error
    if not math.isfinite(seconds):
        raise _invalid()
    return seconds


def encode_place(listing: str, value: float | None, key: str) -> str:
    """Return the token of a page of a sorted listing, which ends with this value and key.

    Args:
        listing: what the page is of: its filter and its order. The token is good for no other.
    """
    return encode_token(json.dumps([_short_digest(listing), value, key]))


def decode_place(token: str | None, listing: str) -> tuple[float | None, str] | None:
    """Return value and key inside a token; None for the first page.

    Raises:
        ValidationProblem: the token is not one of ours, or is of another listing.
    """
    text = decode_token(token)
    if text is None:
        return None
    try:
        digest, value, key = json.loads(text)
        value = None if value is None else float(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _invalid() from error
    if not isinstance(key, str) or not key.isprintable():
        raise _invalid()
    if value is not None and not math.isfinite(value):
        raise _invalid()
    if digest != _short_digest(listing):
        raise ValidationProblem(
            "page_token is of a list with another filter or order. Keep both from page to page, "
            "or start again without page_token.",
            errors=[FieldProblem(pointer="/page_token", detail="of another list")],
        )
    return value, key


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _invalid() -> ValidationProblem:
    return ValidationProblem(
        "page_token is not valid. Use the next_page_token of the page before, unchanged.",
        errors=[FieldProblem(pointer="/page_token", detail="not a token of this service")],
    )
