"""Idempotency-Key: the same POST twice is done once, and answered alike.

The answer is stored in the transaction that creates the resource, so that neither can exist
without the other. A first request that died is taken over after its lock has run out.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import (
    FieldProblem,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ValidationProblem,
)
from service.accepted import job_headers
from service.principals import Caller
from service.state import ServiceState
from storage.catalog import idempotency

LOCK_SECONDS: Final = 60.0
MAX_KEY_LENGTH: Final = 255


@dataclass(frozen=True)
class OwnedKey:
    """A key belongs to who sent it: the same key of two callers is two keys."""

    principal: str
    key: str


def _owned_key(
    caller: Caller,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Makes a repeated POST safe for 24 hours",
            examples=['"nightly-2026-11-20"'],
        ),
    ] = None,
) -> OwnedKey | None:
    bare = _bare(idempotency_key)
    return None if bare is None else OwnedKey(caller.id, bare)


IdempotencyKey = Annotated[OwnedKey | None, Depends(_owned_key)]


def fingerprint_of(method: str, path: str, content: Any) -> str:
    """Return the SHA-256 of method, path and canonical content; the key has the principal."""
    text = json.dumps([method, path, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Ticket:
    """The hold of one request on its key; does nothing when there is no key.

    Use as a context manager: leaving it with an error frees the key for another try.
    """

    def __init__(self, state: ServiceState, key: OwnedKey | None, fingerprint: str) -> None:
        self._state = state
        self._key = key
        self._fingerprint = fingerprint
        self._owner = new_id("req")
        self._completed = False

    def replay(self) -> Response | None:
        """Claim the key; returns the stored answer if there is one already.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
            IdempotencyInProgress: the first request is still running.
        """
        if self._key is None:
            return None
        with self._state.catalog.write() as session:
            row = idempotency.begin(
                session,
                principal=self._key.principal,
                key=self._key.key,
                fingerprint=self._fingerprint,
                owner=self._owner,
                lock_seconds=LOCK_SECONDS,
            )
            if row is None:
                return None
            if row.fingerprint != self._fingerprint:
                raise IdempotencyKeyReused(
                    "This key came with another request before. Use a new key for new work."
                )
            if row.status_code is None or row.body is None:
                raise IdempotencyInProgress(
                    "The first request with this key has not ended yet. Try again shortly.",
                    headers={"Retry-After": "2"},
                )
            headers = {"Idempotency-Replayed": "true"}
            if row.location and row.status_code == 202:
                headers |= job_headers(row.location)
            elif row.location:
                headers["Location"] = row.location
            self._completed = True
            return Response(row.body, row.status_code, headers, media_type="application/json")

    def renew(self) -> None:
        """Keep the key during a long upload."""
        if self._key is not None:
            with self._state.catalog.write() as session:
                idempotency.renew(
                    session,
                    principal=self._key.principal,
                    key=self._key.key,
                    owner=self._owner,
                    lock_seconds=LOCK_SECONDS,
                )

    def complete(self, session: Session, status_code: int, location: str, body: str) -> None:
        """Store the answer in the caller's transaction.

        Raises:
            IdempotencyInProgress: another request has taken the key over; roll back.
        """
        self._completed = True
        if self._key is None:
            return
        stored = idempotency.complete(
            session,
            principal=self._key.principal,
            key=self._key.key,
            owner=self._owner,
            status_code=status_code,
            location=location,
            body=body,
        )
        if not stored:
            raise IdempotencyInProgress("Another request with this key has taken over.")

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._key is not None and (error_type is not None or not self._completed):
            with self._state.catalog.write() as session:
                idempotency.abandon(
                    session, principal=self._key.principal, key=self._key.key, owner=self._owner
                )


def _bare(key: str | None) -> str | None:
    """Accept the quoted form of the draft and the bare form that most clients send."""
    if key is None:
        return None
    bare = key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key
    if not bare or len(bare) > MAX_KEY_LENGTH or not bare.isprintable():
        raise ValidationProblem(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable characters.",
            errors=[FieldProblem(pointer="/Idempotency-Key", detail="not usable")],
        )
    return bare
