"""Who asks: an API key, or anybody on this machine where no keys are asked for."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from storage.catalog.tables import LOCAL

SCOPES: Final = ("read", "write", "train", "admin")


@dataclass(frozen=True)
class Principal:
    """What a request may do; `id` is recorded as `created_by`."""

    id: str
    name: str
    scopes: frozenset[str]


LOCAL_PRINCIPAL: Final = Principal(LOCAL, LOCAL, frozenset(SCOPES))


def _caller(request: Request) -> Principal:
    principal: Principal = request.scope.get("state", {}).get("principal", LOCAL_PRINCIPAL)
    return principal


Caller = Annotated[Principal, Depends(_caller)]
