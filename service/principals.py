"""Who asks: an API key, or anybody on this machine where no keys are asked for."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from api_schemas.problems import Forbidden
from domain.api_keys import SCOPES
from storage.catalog.tables import LOCAL


@dataclass(frozen=True)
class Principal:
    """What a request may do; `id` is recorded as `created_by`."""

    id: str
    name: str
    scopes: frozenset[str]  # with those that are included in others

    def require(self, scope: str) -> None:
        """Check for a scope that follows from the body of a request, not from its address.

        Raises:
            Forbidden: the key does not have it.
        """
        if scope not in self.scopes:
            raise Forbidden(
                f"This needs the scope {scope}; the key '{self.name[:80]}' has "
                f"{', '.join(sorted(self.scopes))}. Use a key that has it.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )

    def require_ownership(self, created_by: str) -> None:
        """Check before something is deleted: what others made takes the scope admin.

        Raises:
            Forbidden: somebody else made it.
        """
        if created_by != self.id and "admin" not in self.scopes:
            raise Forbidden(
                "Another API key made this. Only that one, or a key with the scope admin, may "
                "delete it."
            )


LOCAL_PRINCIPAL: Final = Principal(LOCAL, LOCAL, frozenset(SCOPES))


def _caller(request: Request) -> Principal:
    principal: Principal = request.scope.get("state", {}).get("principal", LOCAL_PRINCIPAL)
    return principal


Caller = Annotated[Principal, Depends(_caller)]
