"""Signatures after Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 with `whsec_` keys.

What is signed is ``id.timestamp.body``. The header holds one signature for each valid key, by a
space, so that a receiver that still has the former key goes on during a rotation.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # of the specification
TOLERANCE_SECONDS: Final = 300.0
_VERSION: Final = "v1"


class SignatureMismatch(ValueError):
    """A message is not what its sender signed, or it is too old."""


def new_secret() -> str:
    """Return a fresh key."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """Return the bytes of a key.

    Raises:
        ValueError: not `whsec_` and 24 to 64 bytes in base64.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError("a signing secret is whsec_ and 24 to 64 bytes in base64")
    return key


def sign(keys: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, with a signature for each key; without keys none.

    Args:
        keys: the valid ones, the current first.
        timestamp: of this attempt, in seconds since the epoch.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys:
        signatures = [_signature(key_of(key), message_id, str(timestamp), body) for key in keys]
        headers["webhook-signature"] = " ".join(f"{_VERSION},{text}" for text in signatures)
    return headers


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> None:
    """Check a message that came in.

    Args:
        headers: in any case of letters.
        body: the bytes as they came, before any parsing.

    Raises:
        SignatureMismatch: a header is missing, no signature fits, or the time does not.
        ValueError: the secret is none.
    """
    key = key_of(secret)
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = found["webhook-id"], found["webhook-timestamp"]
        signatures = found["webhook-signature"].split()
    except KeyError as error:
        raise SignatureMismatch(f"the header {error.args[0]} is missing") from error
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise SignatureMismatch("webhook-timestamp is not a time in seconds")
    expected = f"{_VERSION},{_signature(key, message_id, timestamp, body)}".encode()
    # every one is compared, so that the time taken tells nothing
    fits = [hmac.compare_digest(expected, given.encode()) for given in signatures]
    if not any(fits):
        raise SignatureMismatch("no signature fits the message; is it the right secret?")
    if abs(now - int(timestamp)) > tolerance_seconds:
        raise SignatureMismatch("the message is too old, or a clock is wrong")


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
