"""API keys."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from api_schemas.api_keys import ApiKey, ApiKeyCreated, Quota, Scope
from selvage_client.calls import Moment
from selvage_client.requests import keys
from selvage_client.resources.base import AsyncResource, Resource


class Keys(Resource):
    """`client.keys`: API keys. Needs the scope `admin`."""

    def create(
        self,
        name: str,
        scopes: Sequence[Scope] = ("write",),
        *,
        expires_at: Moment | None = None,
        quota: Quota | Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> ApiKeyCreated:
        """Make a key. `key` of the answer is the secret: nobody can see it again.

        It is None if a lost answer had to be asked for twice; then revoke it and make another.

        Args:
            expires_at: an aware `datetime`, or a `timedelta` from now.
        """
        return self._send(keys.create(name, scopes, expires_at, quota, idempotency_key))

    def get(self, key_id: str) -> ApiKey:
        return self._send(keys.key(key_id))

    def revoke(self, key_id: str) -> None:
        """Let a key be valid no more; twice does no harm."""
        self._send(keys.revoke(key_id))

    def list(self) -> Iterator[ApiKey]:
        """Yield keys without their secrets, the newest first."""
        return self._entries(keys.keys())


class AsyncKeys(AsyncResource):
    """`client.keys`: API keys. Needs the scope `admin`."""

    async def create(
        self,
        name: str,
        scopes: Sequence[Scope] = ("write",),
        *,
        expires_at: Moment | None = None,
        quota: Quota | Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> ApiKeyCreated:
        """Make a key. `key` of the answer is the secret: nobody can see it again.

        It is None if a lost answer had to be asked for twice; then revoke it and make another.

        Args:
            expires_at: an aware `datetime`, or a `timedelta` from now.
        """
        return await self._send(keys.create(name, scopes, expires_at, quota, idempotency_key))

    async def get(self, key_id: str) -> ApiKey:
        return await self._send(keys.key(key_id))

    async def revoke(self, key_id: str) -> None:
        """Let a key be valid no more; twice does no harm."""
        await self._send(keys.revoke(key_id))

    def list(self) -> AsyncIterator[ApiKey]:
        """Yield keys without their secrets, the newest first."""
        return self._entries(keys.keys())
